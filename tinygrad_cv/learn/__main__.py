"""The door: `python -m tinygrad_cv.learn`."""

import sys

from .cli import main

if __name__ == "__main__":
    sys.exit(main())
