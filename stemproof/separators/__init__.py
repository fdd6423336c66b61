"""Separators: the protocol, the registry, and the kinds behind it."""
