"""The magics trace what they run, leave its outcome alone, and say in one line what they can't do."""

from __future__ import annotations

import json
import sysconfig
import xml.etree.ElementTree as ET

import pytest

pytest.importorskip("IPython", reason="needs the extra ipython")

# In a process of its own: a shell changes what sys and builtins hold. It keeps no history.
START = """
import json, sys
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config
settings = Config()
settings.HistoryManager.enabled = False
shell = InteractiveShell.instance(config=settings)
shown = []
shell.display_pub.publish = lambda data, *args, **others: shown.append(data)
shell.run_cell("%load_ext gilprobe")
def tried(cell):
    done = shell.run_cell(cell)
    error = done.error_in_exec or done.error_before_exec
    return done.result, error and f"{type(error).__name__}: {error}"
"""


@pytest.fixture
def shell(child):
    """Return a function that runs code beside a shell with the extension, and returns its `answer`."""

    def run(code, **options):
        ended = child(f"{START}\n{code}\nprint('\\nANSWER' + json.dumps(answer))\n", **options)
        assert ended.status == 0, ended.stderr
        return json.loads(ended.stdout.rpartition("ANSWER")[2])

    return run


def test_a_statement_is_traced_and_its_value_returned(shell):
    (value, error), shown, held = shell(
        """
value = tried("%gil -o r sum(range(100_000))")
answer = value, shown, shell.user_ns["r"].held_s
"""
    )
    assert (value, error) == (4999950000, None)
    assert held > 0
    (tables, picture) = shown
    assert set(tables) == {"text/html", "text/plain"}
    assert "Traced" in tables["text/html"]
    assert ET.fromstring(picture["image/svg+xml"])[0].text.startswith("Timeline of")


def test_a_cell_is_traced_and_its_lines_are_sites(shell):
    names, sites, ended = shell(
        """
tried("%%gil -s -t 3 -o r\\nimport time\\nfor _ in range(5):\\n    time.sleep(0.001)\\n")
r = shell.user_ns["r"]
answer = [t.name for t in r.threads], [(s.function, s.line) for s in r.sites], len(r.stacks)
"""
    )
    assert {"gil-1", "gil-2", "gil-3"} <= set(names)
    assert ["<module>", 3] in sites
    assert ended > 0


def test_the_hold_that_the_end_cuts_counts_for_the_cell(shell):
    sites = shell(
        """
tried("%%gil -q -n -o r\\nx = 1\\ny = sum(range(1_000_000))\\n")
answer = [(s.function, s.line) for s in shell.user_ns["r"].sites]
"""
    )
    assert sites[0] == ["<module>", 2]


def test_an_error_is_raised_and_the_report_kept(shell):
    for (_, error), kept, number in shell(
        """
answer = []
for threads in (1, 2):
    shown.clear()
    value = tried(f"%gil -t {threads} -o r{threads} 1 / 0")
    answer.append((value, shell.user_ns[f"r{threads}"].elapsed_s > 0, len(shown)))
"""
    ):
        assert error == "ZeroDivisionError: division by zero"
        assert (kept, number) == (True, 2)


def test_quiet_shows_nothing_and_without_a_timeline_there_is_no_picture(shell):
    quiet, shown = shell(
        """
tried("%gil -q 1")
quiet = len(shown)
tried("%gil -n 1")
answer = quiet, [sorted(one) for one in shown]
"""
    )
    assert quiet == 0
    assert shown == [["text/html", "text/plain"]]


def test_a_timeline_that_cannot_be_read_does_not_cost_the_outcome(shell):
    (value, error), text = shell(
        """
from gilprobe.tracing.tracer import Trace
def lost(self):
    raise OSError("the disk is full")
Trace.timeline = lost
answer = tried("%gil 6 * 7"), shown[-1]["text/plain"]
"""
    )
    assert (value, error) == (42, None)
    assert text == "no picture of the timeline: the disk is full"


REFUSED = {
    "%gil": "nothing to run",
    "%gil -t 0 ran.append(1)": "threads must be a whole number from 1 to 256, got '0'",
    "%gil --rows=x ran.append(1)": "rows must be a whole number from 1 to 1000, got 'x'",
    "%gil -o 1x ran.append(1)": "output must be a variable's name, got '1x'",
    "%gil -z ran.append(1)": "option -z not recognized",
}


def test_what_makes_no_sense_is_refused_before_anything_runs(shell):
    answers, ran, left = shell(
        f"""
shell.user_ns["ran"] = ran = []
answers = [tried(line)[1] for line in {list(REFUSED)}]
shell.run_cell("%unload_ext gilprobe")
answer = answers, ran, shell.find_magic("gil") is not None
"""
    )
    for error, message in zip(answers, REFUSED.values(), strict=True):
        assert error.startswith("UsageError: ")
        assert message in error
    assert ran == []
    assert not left, "the extension can be taken away"


@pytest.mark.skipif(not sysconfig.get_config_var("Py_GIL_DISABLED"), reason="this build always has a GIL")
def test_without_a_gil_it_says_so_and_runs_nothing(shell):
    (_, error), ran = shell(
        """
shell.user_ns["ran"] = ran = []
answer = tried("%gil ran.append(1)"), ran
""",
        env={"PYTHON_GIL": "0"},
    )
    assert error.startswith("UsageError: the GIL can't be traced: ")
    assert ran == []


AWAITS = (
    "%%gil -q\\nimport asyncio\\nfound = await asyncio.sleep(0.001, 5)\\nfound + await asyncio.sleep(0, 1)"
)


def test_a_cell_may_await_at_its_top_level(shell):
    alone, in_a_loop, in_threads, failed, found = shell(
        f"""
import asyncio
shell.run_cell("import asyncio")
cell = "{AWAITS}"
async def main():
    return tried(cell)
alone, in_a_loop = tried(cell), asyncio.run(main())
in_threads = tried(cell.replace("-q", "-q -t 2"))
failed = tried("%%gil -q\\nawait asyncio.sleep(0, 1) / 0")
answer = alone, in_a_loop, in_threads, failed, shell.user_ns["found"]
"""
    )
    assert alone == in_a_loop == [6, None]
    assert in_threads == [None, None]
    assert failed[1] == "ZeroDivisionError: division by zero"
    assert found == 5
