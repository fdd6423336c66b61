"""Data sets: a module that has a ``SOURCE`` is one, and ``data.source`` names it."""
