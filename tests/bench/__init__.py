"""Benchmarks: apply against a bare COPY of the same rows in the same run, and decoding. `make bench` runs them."""
