"""``python -m stemproof.cli``."""

from stemproof.cli import main

if __name__ == "__main__":
    main()
