"""Rendered demo songs: small, free, and enough like music to run the whole pipeline on."""
