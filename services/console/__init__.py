"""The web console: pages for people, rendered here and kept up to date by small scripts.

It reads through `services.reading`, sends commands as the gateway does for everybody, and has no rules of its
own. `door` is what the gateway mounts; all else is loaded when the first browser comes.
"""
