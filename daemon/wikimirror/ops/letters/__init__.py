"""Dead letters: looking at them, putting them back, and letting them go."""
