"""Checks a document against the Trace Event Format, and reads it as Perfetto's importer does."""

from __future__ import annotations

import itertools
import json
import math

REQUIRED = {
    "X": {"ph", "ts", "dur", "pid", "tid", "name", "cat", "args"},
    "M": {"ph", "ts", "pid", "tid", "name", "args"},
    "C": {"ph", "ts", "pid", "tid", "name", "args"},
    "i": {"ph", "ts", "pid", "tid", "name", "s"},
    "s": {"ph", "ts", "pid", "tid", "name", "cat", "id"},
    "f": {"ph", "ts", "pid", "tid", "name", "cat", "id", "bp"},
}
METADATA = {
    "process_name": ("name", str),
    "process_labels": ("labels", str),
    "process_sort_index": ("sort_index", int),
    "thread_name": ("name", str),
    "thread_sort_index": ("sort_index", int),
}


def parse(text):
    """Return the document; it must be strict JSON, all ASCII, without a lone surrogate."""

    def refuse(name):
        raise AssertionError(f"{name} is not JSON")

    assert text.isascii()
    document = json.loads(text, parse_constant=refuse)
    json.dumps(document, ensure_ascii=False).encode("utf-8")
    return document


def check(text):
    """Check the whole document and return its events."""
    document = parse(text)
    assert set(document) == {"traceEvents", "displayTimeUnit", "otherData"}
    assert document["displayTimeUnit"] in ("ms", "ns")
    events = document["traceEvents"]
    for event in events:
        check_event(event)
    check_text_order(text)
    imported = imported_slices(events)
    check_counters(events)
    check_flows(events, imported)
    return events


def check_event(event):
    assert set(event) >= REQUIRED[event["ph"]], event
    assert set(event) - REQUIRED[event["ph"]] <= {"cname", "cat", "args"}
    for key in ("pid", "tid"):
        assert type(event[key]) is int
        assert 0 < event[key] < 2**32
    for key in {"ts", "dur"} & set(event):
        assert type(event[key]) in (int, float)
        assert math.isfinite(event[key])
        assert event[key] >= 0
    assert isinstance(event["name"], str)
    assert event["name"]
    if event["ph"] == "M":
        key, kind = METADATA[event["name"]]
        assert isinstance(event["args"][key], kind)
    if event["ph"] == "i":
        assert event["s"] in "gpt"


def check_text_order(text):
    """Check that the time stands before all that an importer might stumble over while it looks for it."""
    for line in text.splitlines():
        if line.startswith('{"ph"'):
            assert line[:16].split('"')[5] == "ts", line


def ns(us):
    """Return a time as Perfetto's importer reads it."""
    return round(us * 1000)


def tracks(events):
    """Return the slices of each track, in the order in which an importer meets them."""
    found = {}
    for order, event in enumerate(events):
        if event["ph"] == "X":
            start = ns(event["ts"])
            found.setdefault((event["pid"], event["tid"]), []).append(
                (start, order, start + ns(event["dur"]), event)
            )
    for slices in found.values():
        starts = [start for start, _, _, event in slices if event["cat"] != "release"]
        assert starts == sorted(starts), "the file's order within a track"
        slices.sort(key=lambda one: one[:2])  # releases are known by the waits that they ended
    return found


def imported_slices(events):
    """Check that slices of a track never overlap, for Perfetto drops such; return them by track."""
    found = tracks(events)
    for slices in found.values():
        for (_, _, end, _), (start, _, _, after) in itertools.pairwise(slices):
            assert end <= start, after
    return found


def check_counters(events):
    by_name = {}
    for event in events:
        if event["ph"] == "C":
            by_name.setdefault((event["pid"], event["name"]), []).append(event)
            (value,) = event["args"].values()
            assert value >= 0
    for counters in by_name.values():
        times = [event["ts"] for event in counters]
        assert times == sorted(times)


def check_flows(events, slices):
    """Check that each arrow has two ends, on different tracks, and leads from a hold to a later hold.

    Or from the release of a lock to a wait that ends later.
    """
    ends = {"s": {}, "f": {}}
    for order, event in enumerate(events):
        if event["ph"] in ends:
            assert event["id"] not in ends[event["ph"]]
            ends[event["ph"]][event["id"]] = (order, event)
    assert ends["s"].keys() == ends["f"].keys()
    for number, (order, start) in ends["s"].items():
        later, end = ends["f"][number]
        assert start["tid"] != end["tid"]
        source, target = bound(slices, order, start), bound(slices, later, end)
        assert [source] == around(slices, start)
        assert [target] == around(slices, end)
        if start["cat"] == "lock":
            assert (source["cat"], target["cat"]) == ("release", "lock")
            assert start["ts"] < end["ts"]
            continue
        assert source["cat"] == target["cat"] == "hold"
        assert ns(source["ts"]) + ns(source["dur"]) <= ns(target["ts"])


def around(slices, flow):
    """Return the slices around the flow event's time, as chrome://tracing binds it: ends belong to them."""
    return [
        event
        for *_, event in slices[flow["pid"], flow["tid"]]
        if event["ts"] <= flow["ts"] <= event["ts"] + event["dur"]
    ]


def bound(slices, order, flow):
    """Return the slice that is open on the flow event's track, as Perfetto binds it: the last one begun."""
    begun = [
        event
        for start, place, _, event in slices[flow["pid"], flow["tid"]]
        if (start, place) < (ns(flow["ts"]), order)
    ]
    return begun[-1]
