"""What the reproduced paper says, and what is said of it."""
