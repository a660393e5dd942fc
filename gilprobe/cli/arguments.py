"""Arguments that several commands share."""

from __future__ import annotations

import re

from gilprobe.errors import InvalidTypeError


def parse_threads(text: str) -> tuple[int, ...]:
    """Return the numbers in ``"1,2,4"``."""
    words = [word.strip() for word in text.split(",")]
    for word in words:
        if not re.fullmatch(r"-?[0-9]{1,9}", word):
            raise InvalidTypeError(f"--threads must be integers separated by commas, got {ascii(text)[:60]}")
    return tuple(map(int, words))
