"""The parts of the fourth migration. They never change once released: a later migration alters what they made."""
