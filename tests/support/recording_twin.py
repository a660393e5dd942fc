"""A slow writer of recordings, after docs/recording-format.md alone: what the reader is held against."""

from __future__ import annotations

import json
import struct
import zlib

META = {
    "pid": 4711,
    "parent": 1,
    "argv": ["app.py", "--own"],
    "started_unix_ns": 1_700_000_000_000_000_000,
    "options": {"sites": True},
}


def number(value):
    """Return an unsigned LEB128 varint."""
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def numbers(*values):
    return b"".join(map(number, values))


def signed(value):
    return number(2 * value if value >= 0 else -2 * value - 1)


def string(text):
    raw = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    return number(len(raw)) + raw


def link(value):
    """Return a number + 1, 0 for None."""
    return number(0 if value is None else value + 1)


def header(version=1):
    start = b"GILPROBE" + struct.pack("<I", version)
    return start + struct.pack("<I", zlib.crc32(start))


def chunk(kind, payload):
    start = kind.encode() + struct.pack("<I", len(payload))
    return start + struct.pack("<I", zlib.crc32(start + payload)) + payload


def meta(environment, **changes):
    return json.dumps(META | {"environment": environment} | changes).encode()


def done(reason, **others):
    return json.dumps({"reason": reason} | others).encode()


def labels(pairs):
    return b"".join(number(label) + string(name) for label, name in pairs)


def names(pairs):
    return b"".join(signed(native_id) + string(name) for native_id, name in pairs)


def threads(rows):
    """Return the entries of a THRD: (account, native id, label, OS name, first tick)."""
    return b"".join(
        number(account) + signed(native_id) + number(label) + string(os_name) + number(first)
        for account, native_id, label, os_name, first in rows
    )


def places(rows, first=0):
    """Return the entries of a PLAC: (parent, kind, line or account, function, file)."""
    out = b""
    for place, (parent, kind, value, function, file) in enumerate(rows, first):
        out += number(place) + link(parent) + number(kind)
        if kind == 0:
            out += number(value) + string(function) + string(file)
        elif kind == 1:
            out += number(value)
    return out


def events(interpreter, rows, dropped=0, tick=0):
    """Return an EVNT's payload: rows of (kind, account, place, start, end) in ticks."""
    out = numbers(interpreter, len(rows), dropped, tick)
    for kind, account, place, start, end in rows:
        out += number(account << 1 | kind) + signed(end - tick) + number(end - start) + link(place)
        tick = end
    return out


def ascending(pairs):
    out, before = number(len(pairs)), 0
    for key, *values in pairs:
        out += numbers(key - before, *values)
        before = key
    return out


def account(fields):
    """Return an account of a SNAP; times in ticks, `holds` and `waits` as pairs (bucket, count)."""
    return (
        number(fields["number"])
        + signed(fields["native_id"])
        + numbers(fields["label"], fields["ended"], fields["merged"])
        + string(fields["os_name"])
        + numbers(*fields["ticks"])  # first, last, hold, wait, off, longest hold, longest wait
        + numbers(*fields["counts"])  # acquisitions, contended, releases, forced
        + number(fields["blamed"])
        + ascending(fields["holds"])
        + ascending(fields["waits"])
    )


def sample_account(number, native_id, **changes):
    """Return the fields of a made-up account."""
    return {
        "number": number,
        "native_id": native_id,
        "label": 0,
        "ended": False,
        "merged": 1,
        "os_name": "python",
        "ticks": (0, 200, 90, 80, 30, 90, 80),
        "counts": (1, 1, 1, 0),
        "blamed": 80,
        "holds": [(180, 1)],
        "waits": [(160, 1)],
    } | changes


def snapshot(fields):
    """Return a SNAP's payload; times in ticks."""
    out = numbers(fields["flags"], fields["interpreter"], fields["factor"], *fields["totals"])
    out += number(len(fields["accounts"])) + b"".join(map(account, fields["accounts"]))
    out += ascending(fields["sites"])
    out += number(len(fields["blame"]))
    for waiter, holder, place, ticks in fields["blame"]:
        out += numbers(waiter, holder) + link(place) + number(ticks)
    out += number(len(fields["stalls"]))
    for waiter, waiter_place, holder, holder_place, *ticks in fields["stalls"]:
        out += number(waiter) + link(waiter_place) + link(holder) + link(holder_place) + numbers(*ticks)
    return out


def empty_snapshot(interpreter=0, *, final=False, factor=1 << 32, dropped=0):
    return {
        "flags": int(final),
        "interpreter": interpreter,
        "factor": factor,
        "totals": (0, 0, 0, 0, 0, dropped),
        "accounts": [],
        "sites": [],
        "blame": [],
        "stalls": [],
    }
