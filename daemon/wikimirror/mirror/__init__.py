"""Postgres: connecting, migrating, and applying batches in one transaction each."""
