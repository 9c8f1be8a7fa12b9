"""The demo: a fleet of simulated agents writes a novel on a real system, and its own account is checked."""
