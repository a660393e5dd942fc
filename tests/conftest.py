"""What all tests share."""

from __future__ import annotations

import os
import sys
from pathlib import Path

# The tests are about the package that is installed. `python -m pytest` puts the checkout first on sys.path,
# where gilprobe has no compiled core, and so would a child process that a test starts from there.
_CHECKOUT = Path(__file__).resolve().parents[1]
sys.path[:] = [entry for entry in sys.path if Path(entry or ".").resolve() != _CHECKOUT]
os.environ["PYTHONSAFEPATH"] = "1"
