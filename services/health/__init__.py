"""How everything is: what works, where it stands, what to do about it."""
