"""The gateway: coordctl over HTTP, and what monitoring asks for."""
