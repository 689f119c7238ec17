"""`python -m mimic`, the same as `mimic`; a launcher such as torchrun starts it by this name."""

import sys

from mimic.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
