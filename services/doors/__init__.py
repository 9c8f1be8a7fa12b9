"""How the outside reaches coordctl. A door translates and checks; no rule lives in one."""
