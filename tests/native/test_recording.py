"""The decoders of payloads, held against the slow writer."""

from __future__ import annotations

import zlib
from array import array

import pytest
import recording_twin as twin
from hypothesis import given, settings
from hypothesis import strategies as st

from gilprobe._native import recording
from gilprobe._native.histogram import BUCKETS

few = settings(max_examples=40, deadline=None)  # each has many parts, and a slow machine is no fault

NOWHERE = 2**32 - 1
u32 = st.integers(0, 2**32 - 1)
u64 = st.integers(0, 2**64 - 1)
i64 = st.integers(-(2**63), 2**63 - 1)
accounts = st.integers(0, 2**20 - 1)
place_numbers = st.integers(0, 2**24 - 1)
ticks = st.integers(0, 2**50)
texts = st.text(st.characters(), max_size=20)  # with lone surrogates


@few
@given(st.binary(max_size=100), st.binary(max_size=100))
def test_the_checksum_is_that_of_zlib(first, second):
    assert recording.crc32(first + second) == zlib.crc32(first + second)
    assert recording.crc32(second, recording.crc32(first)) == zlib.crc32(first + second)


@few
@given(st.lists(st.tuples(u32, texts)), st.lists(st.tuples(i64, texts)))
def test_names_come_back(labels, names):
    assert recording.decode_labels(twin.labels(labels)) == labels
    assert recording.decode_names(twin.names(names)) == names


def test_a_name_that_is_no_utf8_is_shown_as_far_as_it_goes():
    assert recording.decode_labels(twin.labels([(1, b"caf\xe9")])) == [(1, "caf\N{REPLACEMENT CHARACTER}")]


@few
@given(u32, st.lists(st.tuples(accounts, i64, u32, texts, u64)))
def test_threads_come_back(interpreter, rows):
    number, entries = recording.split_interpreter(twin.number(interpreter) + twin.threads(rows))
    assert number == interpreter
    assert recording.decode_threads(entries) == rows


@st.composite
def place_rows(draw, first=0):
    rows = []
    for number in range(first, first + draw(st.integers(0, 8))):
        parent = draw(st.none() | st.integers(0, number - 1)) if number else None
        kind = draw(st.integers(0, 4))
        if kind == 0:
            rows.append((parent, 0, draw(u32), draw(texts), draw(texts)))
        else:
            name = draw(texts) if kind == 4 else ""
            rows.append((parent, kind, draw(accounts) if kind == 1 else 0, name, ""))
    return rows


@few
@given(place_rows(), st.data())
def test_places_come_back_in_pieces(rows, data):
    assert recording.decode_places(twin.places(rows)) == rows
    more = data.draw(place_rows(len(rows)))
    assert recording.decode_places(twin.places(more, len(rows)), len(rows)) == more


@pytest.mark.parametrize(
    "entries",
    [
        pytest.param(twin.places([(None, 2, 0, "", "")], 1), id="number"),
        pytest.param(twin.places([(0, 2, 0, "", "")]), id="parent"),
        pytest.param(twin.places([(None, 5, 0, "", "")]), id="kind"),
        pytest.param(twin.places([(None, 0, 2**32, "", "")]), id="line"),
        pytest.param(twin.places([(None, 1, 2**20, "", "")]), id="thread"),
        pytest.param(twin.places([(None, 0, 1, "f", "app.py")])[:-1], id="cut"),
    ],
)
def test_a_place_that_breaks_a_rule_is_refused(entries):
    with pytest.raises(ValueError, match=r"must|too"):
        recording.decode_places(entries)


@st.composite
def event_rows(draw):
    rows = []
    for _ in range(draw(st.integers(0, 20))):
        end = draw(ticks)
        rows.append(
            (
                draw(st.integers(0, 1)),
                draw(st.integers(0, 3)),
                draw(st.none() | st.integers(0, 4)),
                draw(st.integers(0, end)),
                end,
            )
        )
    return rows


@few
@given(u32, event_rows(), u64, ticks, st.integers(1, 2**40))
def test_events_come_back_as_columns(interpreter, rows, dropped, tick, factor):
    payload = twin.events(interpreter, rows, dropped, tick)
    threads, places = array("I", [9, 8, 7, 6]), array("I", [5, 4, 3, 2, 1])
    assert recording.events_head(payload) == (interpreter, len(rows), dropped)
    if any((row[4] * factor) >> 32 >= 2**63 for row in rows):
        return
    columns = recording.read_events(payload, threads, places, factor)
    assert [column.format for column in columns] == ["B", "I", "I", "q", "q"]
    assert [list(column) for column in columns] == [
        [kind for kind, *_ in rows],
        [threads[account] for _, account, *_ in rows],
        [NOWHERE if place is None else places[place] for _, _, place, *_ in rows],
        [start * factor >> 32 for *_, start, _ in rows],
        [(end * factor >> 32) - (start * factor >> 32) for *_, start, end in rows],
    ]


@few
@given(event_rows())
def test_events_add_up(rows):
    sums, expected = array("Q", [0] * 16), [0] * 16
    recording.add_events(twin.events(0, rows), array("I", range(4)), array("I", range(5)), sums)
    for kind, account, _, start, end in rows:
        expected[4 * account + kind] += end - start
        expected[4 * account + 2 + kind] += 1
    assert list(sums) == expected


@pytest.mark.parametrize(
    "row",
    [
        pytest.param((0, 4, None, 0, 0), id="account beyond"),
        pytest.param((0, 1, None, 0, 0), id="account not described"),
        pytest.param((0, 0, 5, 0, 0), id="place beyond"),
        pytest.param((0, 0, None, -1, 0), id="before the start"),
        pytest.param((0, 0, None, 0, 2**63), id="after the end of time"),
    ],
)
def test_an_event_that_breaks_a_rule_is_refused(row):
    threads, places = array("I", [0, NOWHERE, 1, 2]), array("I", range(5))
    with pytest.raises(ValueError, match=r"must|too large"):
        recording.read_events(twin.events(0, [row]), threads, places, 1 << 32)


def test_what_is_no_table_of_sums_is_refused():
    payload = twin.events(0, [(0, 0, None, 0, 1)])
    with pytest.raises(ValueError, match="sums must hold four numbers"):
        recording.add_events(payload, array("I", [0]), array("I"), array("Q", [0] * 7))
    with pytest.raises(ValueError, match="too large"):
        recording.add_events(payload, array("I", [1]), array("I"), array("Q", [0] * 4))


@pytest.mark.parametrize("count", [2**20 + 1, 2**40, 2**64 - 1])
def test_a_count_without_events_is_refused_before_there_is_memory_for_them(count):
    with pytest.raises(ValueError, match="must"):
        recording.events_head(twin.numbers(0, count, 0, 0))


histograms = st.dictionaries(st.integers(0, BUCKETS - 1), u64, max_size=5).map(
    lambda counts: sorted(counts.items())
)


@st.composite
def account_fields(draw):
    first = draw(ticks)
    return {
        "number": draw(accounts),
        "native_id": draw(i64),
        "label": draw(u32),
        "ended": draw(st.booleans()),
        "merged": draw(u64),
        "os_name": draw(texts),
        "ticks": (first, first + draw(ticks), *(draw(ticks) for _ in range(5))),
        "counts": tuple(draw(u64) for _ in range(4)),
        "blamed": draw(ticks),
        "hold_cpu": draw(ticks),
        "holds": draw(histograms),
        "waits": draw(histograms),
    }


optional_places = st.none() | place_numbers
counts = st.integers(0, 2**63 - 1)
tags = st.integers(0, 2**16 - 1)
named = st.tuples(texts, texts, u32)
callbacks = st.tuples(accounts, ticks, ticks, texts, named, counts, counts, named, texts).map(
    lambda row: (*row[:5], max(row[5:7]), min(row[5:7]), *row[7:])
)
snapshots = st.fixed_dictionaries(
    {
        # all but pauses
        "flags": st.builds(
            int.__or__, st.integers(0, 1023), st.sampled_from([0, twin.CALLBACKS, twin.LABELS])
        ),
        "interpreter": u32,
        "factor": st.integers(1, 2**40),
        "totals": st.tuples(ticks, ticks, u64, u64, ticks, u64),
        "accounts": st.lists(account_fields(), max_size=3),
        "sites": st.dictionaries(place_numbers, st.tuples(u64, ticks, ticks, ticks), max_size=4).map(
            lambda rows: sorted((place, *row) for place, row in rows.items())
        ),
        "blame": st.lists(st.tuples(accounts, accounts, optional_places, ticks), max_size=4),
        "stalls": st.lists(
            st.tuples(
                accounts,
                optional_places,
                st.none() | accounts,
                optional_places,
                ticks,
                ticks,
                ticks,
                optional_places,
            ),
            max_size=3,
        ),
        "looks": st.lists(
            st.tuples(accounts, optional_places, place_numbers, counts, counts, counts, counts, counts),
            max_size=4,
        ),
        "look_counts": st.tuples(counts, counts),
        "callbacks": st.lists(callbacks, max_size=3),
        "labels": st.lists(st.tuples(tags, texts, ticks, ticks, ticks, counts, counts), max_size=3),
        "label_blame": st.lists(st.tuples(tags, tags, ticks), max_size=3),
    }
)


def alike(holder, ended, looked, looks, waiting):
    """Return a row of looks that says nothing of their times."""
    squares = waiting * waiting // looks if looks else 0
    return holder, ended, looked, looks, waiting, looks, waiting, min(squares, 2**63 - 1)


def expected_account(fields, ns, cpu_time):
    first, last, hold, wait, off, longest_hold, longest_wait = fields["ticks"]
    counted = ("acquisitions", "contended_acquisitions", "releases", "forced_releases")
    same = ("number", "native_id", "label", "ended", "merged", "os_name")
    return {
        **{key: fields[key] for key in same},
        "holds": tuple(fields["holds"]),
        "waits": tuple(fields["waits"]),
        **dict(zip(counted, fields["counts"], strict=True)),
        "first_ns": ns(first),
        "lifetime_ns": ns(last - first),
        "hold_ns": ns(hold),
        "wait_ns": ns(wait),
        "off_ns": ns(off),
        "longest_hold_ns": ns(longest_hold),
        "longest_wait_ns": ns(longest_wait),
        "blamed_ns": ns(fields["blamed"]),
        "hold_cpu_ns": fields["hold_cpu"] if cpu_time else None,
        "imbalance_ticks": hold + wait + off - (last - first),
    }


def expected_labels(fields, ns):
    if not fields["flags"] & twin.LABELS:
        return None
    return (
        [(tag, name, *map(ns, sums[:3]), *sums[3:]) for tag, name, *sums in fields["labels"]],
        [(waiter, holder, ns(wait)) for waiter, holder, wait in fields["label_blame"]],
    )


CALLBACK = (0, 10, 80, "poll", ("fetch", "app.py", 20), 3, 2, ("parse", "app.py", 30), "json.loads")


@few
@given(snapshots)
def test_a_snapshot_comes_back(fields):
    def ns(value):
        return value * fields["factor"] >> 32

    def stall(row):
        waited, (held, seen) = row[:2], (ns(row[6]), row[7] if looked else None)
        holder = (*row[2:4], seen) if held else (None, None, None)  # for less than a nanosecond: nobody
        return (*waited, *holder[:2], *map(ns, row[4:6]), held, holder[2])

    elapsed, contended, handoffs, lost, sites_lost, dropped = fields["totals"]
    flags = (
        *("final", "hooks_lost", "releases_told_apart", "sites", "stacks", "timeline", "cpu_time"),
        "others_missed",
        "looks",
    )
    cpu_time, looks = bool(fields["flags"] & twin.CPU_TIME), bool(fields["flags"] & twin.LOOKS)
    looked = bool(fields["flags"] & twin.LOOKED)
    snapshot = recording.decode_snapshot(twin.snapshot(fields))
    for kind in "blame", "stalls":
        rows = snapshot[kind]
        snapshot[kind] = [*rows]
        assert [*rows] == snapshot[kind]
        assert len(rows) == len(snapshot[kind])
    assert snapshot == {
        "totals": {
            **{name: bool(fields["flags"] >> bit & 1) for bit, name in enumerate(flags)},
            "interpreter": fields["interpreter"],
            "factor": fields["factor"],
            "elapsed_ns": ns(elapsed),
            "contended_ns": ns(contended),
            "handoffs": handoffs,
            "lost": lost,
            "sites_lost_ns": ns(sites_lost),
            "dropped_events": dropped,
            "looks_unseen": fields["look_counts"][0] if looks else 0,
            "looks_free": fields["look_counts"][1] if looks else 0,
        },
        "accounts": [expected_account(account, ns, cpu_time) for account in fields["accounts"]],
        "sites": [
            (place, releases, ns(hold), ns(wait), hold_cpu if cpu_time else 0)
            for place, releases, hold, wait, hold_cpu in fields["sites"]
        ],
        "blame": [(*row[:3], ns(row[3])) for row in fields["blame"]],
        "stalls": [stall(row) for row in fields["stalls"]],
        "looks": [row if looked else alike(*row[:5]) for row in fields["looks"]] if looks else [],
        "pauses": None,
        "callbacks": [
            (row[0], ns(row[1]), ns(row[2]), *row[3:])
            for row in (fields["callbacks"] if fields["flags"] & twin.CALLBACKS else ())
        ],
        "labels": expected_labels(fields, ns),
    }


@few
@given(snapshots, st.data())
def test_a_snapshot_that_is_cut_or_goes_on_is_refused(fields, data):
    payload = twin.snapshot(fields)
    with pytest.raises(ValueError, match=r"must|ends|too large|known"):
        recording.decode_snapshot(payload[: data.draw(st.integers(0, len(payload) - 1))])
    with pytest.raises(ValueError, match="nothing behind"):
        recording.decode_snapshot(payload + b"\0")


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"flags": 8192}, id="flag"),
        pytest.param({"flags": 4096, "labels": [(2**16, "GET /", 0, 0, 0, 0, 0)]}, id="label"),
        pytest.param({"flags": 4096, "labels": [(1, "GET /", 2**63, 0, 0, 0, 0)]}, id="its holds"),
        pytest.param({"flags": 4096, "label_blame": [(0, 2**16, 9)]}, id="label of a holder"),
        pytest.param({"flags": 2048, "callbacks": [(2**20, *CALLBACK[1:])]}, id="account of a callback"),
        pytest.param({"flags": 2048, "callbacks": [(*CALLBACK[:5], 1, 2, *CALLBACK[7:])]}, id="looks at it"),
        pytest.param({"flags": 2048, "callbacks": [(0, 2**63, *CALLBACK[2:])]}, id="its start"),
        pytest.param({"flags": 256, "looks": [(2**20, None, 0, 1, 1)]}, id="account of a look"),
        pytest.param({"flags": 256, "looks": [(0, 2**24, 0, 1, 1)]}, id="end of a hold"),
        pytest.param({"flags": 256, "looks": [(0, None, 2**24, 1, 1)]}, id="place of a look"),
        pytest.param({"flags": 256, "looks": [(0, None, 0, 2**63, 1)]}, id="looks"),
        pytest.param({"flags": 256, "look_counts": (0, 2**63)}, id="looks at nobody"),
        pytest.param({"flags": 1024, "pauses_lost": 2**63}, id="lost pauses"),
        pytest.param({"flags": 1024, "pause_sums": [(0, 0, 0, 3, *[0] * 7)]}, id="generation"),
        pytest.param({"flags": 1024, "longest_pauses": [(2**20, 0, *[0] * 7)]}, id="who collected"),
        pytest.param({"flags": 1024, "pause_looks": [(0, None, 2**24, 1, 1)]}, id="look in a pause"),
        pytest.param({"flags": 64, "sites": [(3, 0, 0, 0, 2**63)]}, id="CPU time"),
        pytest.param({"factor": 0}, id="rate"),
        pytest.param({"interpreter": 2**32}, id="interpreter"),
        pytest.param({"totals": (2**63, 0, 0, 0, 0, 0)}, id="elapsed"),
        pytest.param({"sites": [(3, 0, 0, 0), (3, 0, 0, 0)]}, id="site twice"),
        pytest.param({"sites": [(2**24, 0, 0, 0)]}, id="site"),
        pytest.param({"blame": [(2**20, 0, None, 0)]}, id="waiter"),
        pytest.param({"stalls": [(0, None, 2**20, None, 0, 0, 0)]}, id="holder"),
    ],
)
def test_a_snapshot_that_breaks_a_rule_is_refused(changes):
    with pytest.raises(ValueError, match=r"must|too large|known"):
        recording.decode_snapshot(twin.snapshot(twin.empty_snapshot() | changes))


@few
@given(st.binary(max_size=60))
def test_no_payload_does_more_than_be_refused(payload):
    empty, sums = array("I"), array("Q")
    for decode in (
        recording.decode_labels,
        recording.decode_names,
        recording.decode_threads,
        recording.decode_places,
        recording.decode_snapshot,
        recording.split_interpreter,
        lambda data: recording.read_events(data, empty, empty, 1),
        lambda data: recording.add_events(data, empty, empty, sums),
    ):
        try:
            decode(payload)
        except ValueError as error:
            assert str(error)  # noqa: PT017
