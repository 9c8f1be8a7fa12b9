"""Who works on what, when several processes could: numbered lots, each held by a database session."""
