"""The shell around the domain: everything that waits, stores, sends or listens."""
