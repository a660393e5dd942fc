"""A slow reader of what a page has of a timeline (gilprobe/render/html/process/timeline_data.py)."""

from __future__ import annotations

from base64 import b64decode

SHARES = 63


class Numbers:
    """Unsigned LEB128 varints, one after the other."""

    def __init__(self, data):
        self._data = b64decode(data) if isinstance(data, str) else data
        self._at = 0

    def __bool__(self):
        return self._at < len(self._data)

    def __call__(self):
        value = shift = 0
        while True:
            byte = self._data[self._at]
            self._at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value


def exact(data):
    """Return a row's events: (kind, start, duration, place's name)."""
    number, events, end = Numbers(data), [], 0
    while number:
        folded, kind = divmod(number(), 2)
        start = end + (folded >> 1 ^ -(folded & 1))
        duration, place = number(), number()
        end = start + duration
        events.append((kind, start, duration, place))
    return events


def cells(data, count):
    """Return a row's cells: (held, waited, leader), the shares in parts of `SHARES`."""
    number, found = Numbers(data), []
    shares = leader = 0
    while number:
        value, tag = divmod(number(), 4)
        if tag == 2:
            found += found[-1:] * value if found else [(0, 0, 0)] * value
            continue
        shares = value
        if tag == 1:
            leader = number()
        found.append((shares & SHARES, shares >> 6, leader))
    assert len(found) == count
    return found


def longest(data):
    """Return the longest: (start, duration, row, place's name, [(row, place's name, ns)], ns of others)."""
    number, found, start = Numbers(data), [], 0
    while number:
        start += number()
        duration, row, place = number(), number(), number()
        holders = [(number(), number(), number()) for _ in range(number())]
        found.append((start, duration, row, place, holders, number()))
    return found
