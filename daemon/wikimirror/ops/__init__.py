"""What a person or a scheduler asks for, as functions that return reports. Nothing here prints."""
