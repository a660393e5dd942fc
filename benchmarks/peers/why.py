"""Why a peer can be better than gilprobe."""

from __future__ import annotations

from .cost import ADDED, CPU, FEWER, MEMORY, P99, SLOWER, STARTED, TURNS
from .counting import AUDITED, TOOK

NOTES = (
    "A sampler does nothing at a release; gilprobe reads the clock twice and notes it. The difference shows"
    " if a program does little but release."
)
ECHO = (
    "A request releases the GIL twice. Each time gilprobe reads the clock twice and writes a note, which is"
    " booked later. A sampler does nothing then."
)
SHORT = "Two processes of less than a second differ by several per cent from one to the next."

WHY = {
    TURNS: {
        SLOWER: f"{NOTES} The figure for pure Python is chance.",
        FEWER: ECHO,
    },
    "cost": {
        SLOWER: f"{NOTES} {SHORT}",
        FEWER: f"{ECHO} {SHORT}",
        P99: "The slowest of a hundred requests have waited for the machine: that differs more between"
        " two runs without any tool.",
        CPU: "It includes start, stop and report: some hundredths of a second, mostly to load the modules of"
        " a report, in a run of less than a second.",
        STARTED: "Before it starts, gilprobe loads the modules of a report, so that nothing is loaded while"
        " it measures.",
        MEMORY: "A trace has tables of sites and of who waited for whom, the thousand longest waits, and"
        " two histograms for each thread. A sampler has a number or two.",
    },
    "scale": {
        ADDED: "With several threads, how often the GIL changes hands decides the cost of a release. A trace"
        " makes each release a little longer, and it changes hands more often then. One thread pays for two"
        " readings of the clock and a note.",
        SLOWER: f"{NOTES} {SHORT}",
    },
    "leaks": {
        TOOK: "objgraph compares once how many objects of each type there are. gilprobe repeats the"
        " calls until the slope is certain, and looks at memory blocks, references, files and"
        " threads as well.",
    },
    "audit": {
        AUDITED: "ptime times a few calls on one thread and on two. gilprobe does so, too, by turns and"
        " several times, and traces the calls first.",
    },
}
"""By table and measure."""
