"""The parts of the third migration. They never change once released: a later migration alters what they made."""
