"""Alembic's environment. The migrations in `versions` are plain SQL; the schema's name is in none of them."""
