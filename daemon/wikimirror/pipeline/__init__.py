"""Records on their way into the mirror: read → assemble → apply."""
