"""What `coordctl top` shows: lists, counts and stories of a project, live or as it was. No screen in here."""
