"""Tasks: units of work, claimed under a lease, each write fenced.

Reading order: `commands`, `events`, `state`, `decide`, `evolve`.
"""
