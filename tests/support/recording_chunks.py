"""A recording's chunks, read as docs/recording-format.md says and no further: for tests of the writer."""

from __future__ import annotations

import json
import zlib
from pathlib import Path

HEADER = b"GILPROBE\x01\x00\x00\x00"


def chunks(path, *, cut=False):
    """Return the type and the payload of each chunk; check every length and checksum.

    The recording must be whole, unless `cut` allows that its writer was killed.
    """
    content = Path(path).read_bytes()
    if cut and len(content) < 16:
        return []
    assert content[:12] == HEADER
    assert int.from_bytes(content[12:16], "little") == zlib.crc32(HEADER)
    found, at = [], 16
    while at < len(content):
        head = content[at : at + 8]
        size, checksum = (int.from_bytes(content[at + n : at + n + 4], "little") for n in (4, 8))
        payload = content[at + 12 : at + 12 + size]
        if cut and len(payload) < size:
            break
        assert len(payload) == size
        assert checksum == zlib.crc32(payload, zlib.crc32(head))
        found.append((head[:4].decode(), payload))
        at += 12 + size
    return found


class Payload:
    """The fields of a payload, one after the other."""

    def __init__(self, content):
        self._content = content
        self._at = 0

    def __bool__(self):
        return self._at < len(self._content)

    def number(self):
        """Read an unsigned number."""
        value = shift = 0
        while True:
            byte = self._content[self._at]
            self._at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    def signed(self):
        """Read a signed number."""
        value = self.number()
        return value >> 1 ^ -(value & 1)

    def string(self):
        """Read a string."""
        size = self.number()
        self._at += size
        return self._content[self._at - size : self._at].decode("utf-8", "surrogatepass")


def meta(found):
    """Return the one META of some chunks."""
    (document,) = [json.loads(payload) for kind, payload in found if kind == "META"]
    return document


def labels(found):
    """Return the names behind labels."""
    names = {}
    for payload in (Payload(content) for kind, content in found if kind == "LABL"):
        while payload:
            number = payload.number()
            names[number] = payload.string()
    return names


def alive(found):
    """Return all names by native identifier."""
    names = set()
    for payload in (Payload(content) for kind, content in found if kind == "NAME"):
        while payload:
            names.add((payload.signed(), payload.string()))
    return names


def threads(found):
    """Return native identifier and last label of each account of the main GIL."""
    rows = {}
    for payload in (Payload(content) for kind, content in found if kind == "THRD"):
        assert payload.number() == 0
        while payload:
            number, native_id, label = payload.number(), payload.signed(), payload.number()
            payload.string(), payload.number()
            rows[number] = (native_id, label)
    return rows


def accounts(found):
    """Return native identifier, label and system name of each account in the last snapshot."""
    payload = Payload([content for kind, content in found if kind == "SNAP"][-1])
    for _ in range(9):
        payload.number()
    rows = []
    for _ in range(payload.number()):
        payload.number()
        native_id, label = payload.signed(), payload.number()
        payload.number(), payload.number()
        rows.append((native_id, label, payload.string()))
        for _ in range(12):
            payload.number()
        for _ in range(2):
            for _ in range(2 * payload.number()):
                payload.number()
    return rows


def events(found):
    """Return how many events there are."""
    count = 0
    for payload in (Payload(content) for kind, content in found if kind == "EVNT"):
        assert payload.number() == 0
        count += payload.number()
    return count


def finals(found):
    """Return how many snapshots say that they are final."""
    return sum(Payload(content).number() & 1 for kind, content in found if kind == "SNAP")
