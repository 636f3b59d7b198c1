"""What the program tells of itself: logging now. No page text, editor name, title or secret leaves through here."""
