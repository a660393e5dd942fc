"""Fuzzes the reading of recordings, and what is made of them.

With atheris: ``python fuzz_recording.py [CORPUS] [-max_total_time=SECONDS]``.

The checksums of what the engine makes up are put right, so that it gets behind them. Anything but a
:class:`~gilprobe.errors.FormatError` is a finding. The compiled reader below has a fuzzer of its own, with
sanitizers (fuzz_reader.c).
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import atheris

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))
with atheris.instrument_imports(
    include=[
        "gilprobe.tracing.recording_reader",
        "gilprobe.tracing.single_lock_waits",
        "gilprobe.tracing.assembling",
        "gilprobe.tracing.places",
    ]
):
    from gilprobe.tracing.loading import load
    from gilprobe.tracing.recording_reader import Recording
import recording_twin as twin

from gilprobe.errors import FormatError
from gilprobe.measuring.host import read_environment
from gilprobe.model import codec
from gilprobe.render.export import folded, speedscope
from gilprobe.render.text import trace_text

MOST = 2000  # characters that are rendered for a byte of a file, and some for every file

FILE = Path(tempfile.mkdtemp(dir="/dev/shm" if Path("/dev/shm").is_dir() else None)) / "recording"


def sample():
    """Return a small recording."""
    last = twin.empty_snapshot(final=True) | {
        "flags": twin.empty_snapshot(final=True)["flags"]
        | 16  # stacks
        | (twin.LOOKS | twin.LOOKED | twin.PAUSES | twin.CALLBACKS | twin.LABELS),
        "accounts": [twin.sample_account(0, 4711, label=7, ended=True)],
        "sites": [(1, 1, 90, 0)],
        "blame": [(0, 0, 1, 80)],
        "stalls": [(0, None, 0, 1, 20, 80, 80, 3)],
        "looks": [(0, 1, 3, 7, 5, 70, 50, 500), (0, 1, 5, 2, 1, 20, 10, 100)],
        "callbacks": [(0, 10, 80, "poll", ("fetch", "app.py", 20), 3, 2, ("main", "app.py", 10), "sorted")],
        "look_counts": (2, 3),
        "labels": [(1, "GET /", 80, 60, 10, 1, 1), (1025, "", 10, 20, 20, 0, 0)],
        "label_blame": [(1, 1025, 50), (0, 1, 10)],
        "pause_sums": [(0, 1, 1, 2, 60, 40, 1, 70, 70, 9, 1)],
        "longest_pauses": [(0, 1, 2, 20, 70, 60, 40, 9, 1)],
        "pause_looks": [(0, 1, 3, 1, 1, 10, 10, 100)],
    }
    places = [(None, 2, 0, "", ""), (0, 0, 10, "main", "app.py"), (None, 1, 0, "", "")]
    places += [(1, 0, 0, "sorted", ""), (None, 4, 0, "poll", ""), (4, 0, 20, "fetch", "app.py")]
    return twin.header() + b"".join(
        [
            twin.chunk("META", twin.meta(codec.encode(read_environment()))),
            twin.chunk("LABL", twin.labels([(7, "worker")])),
            twin.chunk("NAME", twin.names([(4711, "MainThread")])),
            twin.chunk("THRD", b"\0" + twin.threads([(0, 4711, 0, "python", 0)])),
            twin.chunk("PLAC", b"\0" + twin.places(places)),
            twin.chunk("SNAP", twin.snapshot(twin.empty_snapshot())),
            twin.chunk("EVNT", twin.events(0, [(0, 0, 1, 10, 100), (1, 0, None, 20, 300)])),
            twin.chunk("PAUS", twin.pauses(0, [(0, 1, 2, 20, 70, 60, 40, 9, 1)])),
            twin.chunk(
                "LNAM",
                twin.lock_names(
                    [("main", "app.py", 10), ("put", "app.py", 12)],
                    [("dict", "REGISTRY", "app")],
                    [(0, 3), (1, 4)],
                    [(4711, 0, "python"), (4712, 0, "worker")],
                ),
            ),
            twin.chunk(
                "LWAT",
                twin.lock_waits([(1, 90, 40, 1, 4, 2, 5, 0, 3, 3, 10), (2, 30, 20, 0, 1, 0, 0, 2, 0)]),
            ),
            twin.chunk("SNAP", twin.snapshot(last)),
            twin.chunk("SEEN", twin.seen(0, [(0, 0, 10, 90, 1, 1), (1, 0, 10, 90, 1, 2)])),
            twin.chunk("DONE", twin.done("signal", signal=15)),
        ]
    )


def repaired(data):
    """Return `data` with a right header, and with right checksums as far as there are whole chunks."""
    out, at = bytearray(twin.header()), 16
    while len(data) - at >= 12:
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        if size > len(data) - at - 12 or not data[at : at + 4].isalpha():
            break
        out += twin.chunk(data[at : at + 4].decode("ascii"), bytes(data[at + 12 : at + 12 + size]))
        at += 12 + size
    return bytes(out + data[at:])


def one_input(data):
    FILE.write_bytes(repaired(data) if data[:1] != b"\0" else data)
    try:
        recording = Recording.open(FILE)
        timeline = recording.timeline()
        assert len(timeline.threads) == len(recording.event_sums())
        assert sum(len(batch.kinds) for batch in timeline.batches()) == recording.event_count
        assert all(timeline.places)
        assert all(pause.thread < len(timeline.threads) for pause in timeline.pauses())
        assert all(wait.stack and wait.duration_ns >= 0 for wait in timeline.lock_waits())
        process = load(FILE)
        rendered = len(trace_text.render_process(process))
        rendered += sum(map(len, folded.export([process]))) + sum(map(len, speedscope.export([process])))
        rendered += sum(map(len, process.report.pieces()))
        assert rendered < MOST * (1000 + len(data))
    except FormatError:
        pass


if __name__ == "__main__":
    seeds = Path(tempfile.mkdtemp())
    (seeds / "sample").write_bytes(sample())
    one_input(sample())
    atheris.Setup(
        [*sys.argv, str(seeds)] if len(sys.argv) < 2 or sys.argv[1].startswith("-") else sys.argv, one_input
    )
    atheris.Fuzz()
