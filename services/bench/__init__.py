"""The benchmark: real services in processes of their own, load from another, each figure beside its limit."""
