"""What an agent needs to know when a session starts, in one answer; and what came of a session.

`sources` reads it, now or at a point; `gathering` chooses what concerns whoever asks; `prompt` tells it
within a number of `tokens`. `desk` answers the doors, and keeps for less than a second what many ask for at
once. `sessions` is about what a session delegated and did. It reads; it changes nothing.
"""
