"""Figures of merit, and the statistics over them."""
