"""What a fleet knows beside its work: spikes, decisions, patterns, complexity, documentation, actions."""
