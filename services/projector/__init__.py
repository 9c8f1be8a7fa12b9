"""The projector: from the log to the tables of the read models, and the rows that it keeps for marks."""
