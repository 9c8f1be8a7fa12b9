"""Backups: the whole log in one file, and back into an empty database with every position as it was."""
