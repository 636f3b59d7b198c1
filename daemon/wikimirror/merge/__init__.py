"""The merge law, pure: what the rows of the mirror must be, given the set of changes ever accepted.

`fold` is the definition: it takes a whole set of changes and is slow and obvious. `page`, `revision` and `workspace`
are the same law as registers that absorb one change at a time; the mirror keeps the registers beside the rows.
docs/merge-law.md has the clauses L1 to L9 that the code cites.
"""
