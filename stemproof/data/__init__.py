"""From recordings in the MUSDB18 layout to memory-mapped segments."""
