"""NATS: subjects and payloads, connections that last, and asking over them."""
