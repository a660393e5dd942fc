"""``python -m gilprobe``."""

import sys

from gilprobe.cli import main

if __name__ == "__main__":
    sys.exit(main())
