"""The command line: one module per noun, each a thin translation to the services."""
