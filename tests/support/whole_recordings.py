"""A reader of recordings that knows their frame and the beginnings of chunks, for tests of the writer."""

from __future__ import annotations

import json
import zlib
from pathlib import Path


def read(path):
    """Return the type and the payload of each chunk; asserts that the file is whole."""
    data = Path(path).read_bytes()
    assert data[:8] == b"GILPROBE"
    chunks, offset = [], 16
    while offset < len(data):
        head, size = data[offset : offset + 8], int.from_bytes(data[offset + 4 : offset + 8], "little")
        payload = data[offset + 12 : offset + 12 + size]
        assert len(payload) == size, "the file is cut"
        assert zlib.crc32(head + payload) == int.from_bytes(data[offset + 8 : offset + 12], "little")
        chunks.append((head[:4].decode(), payload))
        offset += 12 + size
    return chunks


def done(path):
    """Return what the last chunk says of the end."""
    kind, payload = read(path)[-1]
    assert kind == "DONE"
    return json.loads(payload)


def numbers(payload):
    """Yield the numbers that a payload consists of."""
    value = shift = 0
    for byte in payload:
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            yield value
            value = shift = 0


def events(path):
    """Return how many events of each kind there are, and how many were dropped."""
    counts, dropped = [0, 0], 0
    for kind, payload in read(path):
        if kind == "EVNT":
            row = numbers(payload)
            _, count, dropped, _ = (next(row) for _ in range(4))
            for _ in range(count):
                counts[next(row) & 1] += 1
                for _ in range(3):
                    next(row)
            assert next(row, None) is None
    return counts, dropped


def last_snapshot(path):
    """Return the payload of the last snapshot."""
    return [payload for kind, payload in read(path) if kind == "SNAP"][-1]
