"""Who may do what over NATS: roles, identities, their keys, and the permissions that the server enforces."""
