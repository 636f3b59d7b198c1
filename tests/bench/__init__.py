"""Benchmarks of the daemon live, its memory, apply against a bare COPY, and decoding. `make bench` runs them."""
