"""Where each lane is, and moving that by hand."""
