"""The relay: from the log to JetStream, each event once and in order."""
