"""The two systems: RSVM as published, and with attention and dropout in its encoder."""
