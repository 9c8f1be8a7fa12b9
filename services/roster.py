"""The services that make up a running system, by name."""

SERVICES = ("writer", "relay", "projector", "gateway")
