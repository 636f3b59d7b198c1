"""The parts of the first migration. They never change once released: a later migration alters what they made."""
