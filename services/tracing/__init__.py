"""OpenTelemetry traces: one from an agent's command through its commit to relay and projectors. Optional."""
