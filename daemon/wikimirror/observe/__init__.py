"""What the program tells of itself: logs, verdicts, metrics. No page text, editor name, title or secret leaves here."""
