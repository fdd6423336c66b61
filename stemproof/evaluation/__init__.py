"""Playing clean, attacked and noisy mixtures to a system."""
