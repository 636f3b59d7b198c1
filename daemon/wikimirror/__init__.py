"""A daemon that keeps a Postgres mirror of Wikimedia content in step with its change stream."""
