"""Reading a range of a source again, beside the daemon."""
