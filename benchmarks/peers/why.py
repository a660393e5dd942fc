"""Why a peer can be better than gilprobe."""

from __future__ import annotations

from .cost import ADDED, CPU, FEWER, MEMORY, P99, SLOWER, STARTED, TURNS
from .counting import AUDITED, TOOK

BOOKS = (
    "A sampler does nothing at a release; gilprobe reads the clock and books it, which shows where"
    " there is little else than releases."
)
ECHO = (
    "A request releases the GIL twice, each time with caches that the kernel has emptied. Booking that takes"
    " gilprobe about a quarter of a microsecond, in which more of the other threads come to wait for the GIL"
    " and have to be woken. A sampler books nothing."
)
SHORT = "Two processes of less than a second differ by several per cent from one to the next."

WHY = {
    TURNS: {
        SLOWER: f"{BOOKS} What it costs pure Python is chance.",
        FEWER: ECHO,
    },
    "cost": {
        SLOWER: f"{BOOKS} {SHORT}",
        FEWER: f"{ECHO} {SHORT}",
        P99: "The slowest of a hundred requests have waited for the machine: that differs more between"
        " two runs without any tool.",
        CPU: "Start, stop and report are in it: some hundredths of a second, most of them for loading"
        " what a report is made of, beside work of less than a second.",
        STARTED: "gilprobe loads dataclasses, inspect and typing, of which a report is made, before it"
        " starts, so that nothing is loaded while it measures. A program that has loaded them does"
        " not notice.",
        MEMORY: "A trace has tables of sites and of who waited for whom, the thousand longest waits, and"
        " two histograms for each thread. A sampler has a number or two.",
    },
    "scale": {
        ADDED: "With many threads the order in which they run decides what a release costs. A little"
        " more time for each changes it, for better or worse; without any tool it differs as much"
        " between two runs.",
        SLOWER: f"{BOOKS} {SHORT}",
    },
    "leaks": {
        TOOK: "objgraph compares once how many objects of each type there are. gilprobe repeats the"
        " calls until the slope is certain, and looks at memory blocks, references, files and"
        " threads as well.",
    },
    "audit": {
        AUDITED: "ptime times a few calls on one thread and on two. gilprobe does that as well, in turns"
        " and several times, and traces the calls before.",
    },
}
"""By table and measure."""
