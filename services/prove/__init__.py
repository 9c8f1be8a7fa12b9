"""Proof: a fleet works while parts fail, and an independent checker goes through what was told and recorded."""
