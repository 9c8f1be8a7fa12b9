"""The writer: from a request to committed events and an answer, a shard of the projects at a time."""
