"""What holds each source back: facts from Postgres, judged by a decision table, said in words."""
