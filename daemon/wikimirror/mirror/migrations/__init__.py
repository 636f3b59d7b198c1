"""Migrations as Alembic counts them: one module in `versions` each, in plain SQL, with the schema's name in none.

A migration is a function `upgrade(run)` that passes statements to `run`, one at a time. It is called by
`wikimirror.mirror.migrate` alone, without Alembic's env.py and its globals, so that several may run in one process.
There is no way back: an older program refuses a newer schema, and a backup is the way to return.
"""
