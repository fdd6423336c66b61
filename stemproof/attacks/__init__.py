"""Adversarial perturbations of the mixture."""
