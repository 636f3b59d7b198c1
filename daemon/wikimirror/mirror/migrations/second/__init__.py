"""The parts of the second migration. They never change once released: a later migration alters what they made."""
