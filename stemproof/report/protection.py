"""The page of a protected song: players, spectrograms, costs, effects."""
