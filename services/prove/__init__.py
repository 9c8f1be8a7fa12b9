"""Proof: a fleet works while parts fail, and an independent checker goes through all that was told."""
