"""What coordctl decides and why: pure messages, states and decisions. No I/O, clock or randomness in here."""
