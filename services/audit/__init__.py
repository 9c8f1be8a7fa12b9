"""The audit: log, stream and read models held against each other."""
