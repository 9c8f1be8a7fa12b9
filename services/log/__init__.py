"""The log: every event in Postgres, read, appended to, numbered, migrated, carried in and out."""
