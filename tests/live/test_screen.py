"""The screen: what it tells at 80 columns, what keys change, and that no name controls a terminal."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from hostile_names import HOSTILE
from rich.console import Console

from gilprobe.live.differences import read_between
from gilprobe.live.keyboard import DOWN, ENTER, ESCAPE, UP
from gilprobe.live.screen import Screen, Status

pytestmark = pytest.mark.plain_python

STATUS = Status("app.py (4711)", 1.0)


def drawn(screen, status=STATUS, *, width=80, height=24):
    """Return what a terminal of this size shows, as text."""
    console = Console(
        file=io.StringIO(), record=True, width=width, height=height, force_terminal=True, color_system=None
    )
    console.print(screen.drawn(status, width=width, height=height))
    return console.export_text()


@pytest.fixture
def report(report):
    """Return a report of threads that live, each with an identifier of its own."""
    ids = {"MainThread": 4710, "worker 1": 4711, "worker 2": 4712}
    threads = (replace(one, native_id=ids[one.name], ended=False) for one in report.threads)
    return replace(report, threads=tuple(threads))


@pytest.fixture
def screen(report):
    made = Screen()
    made.show(read_between(None, report))
    return made


def test_80_columns_show_the_gil_the_threads_the_culprits_and_the_longest_waits(screen):
    shown = drawn(screen)
    assert "GIL held 90%  contended 30%  free 10%" in shown
    assert "worker 1" in shown
    assert "JSONEncoder.iterencode (lib/encoder.py:250)" in shown
    assert "212 ms  1 s ago  worker 2 behind worker 1" in shown
    assert "nobody: the GIL was free" in shown
    assert max(map(len, shown.splitlines())) <= 80
    assert len(shown.splitlines()) <= 24


@pytest.mark.parametrize(("width", "height"), [(40, 10), (80, 24), (200, 60)])
def test_lines_end_where_the_terminal_does(report, width, height):
    screen = Screen()
    thread = report.threads[1]
    many = [replace(thread, name=f"{'long ' * 40}{n}", native_id=100 + n) for n in range(80)]
    screen.show(read_between(None, replace(report, threads=tuple(many))))
    lines = drawn(screen, width=width, height=height).splitlines()
    assert max(map(len, lines)) <= width
    assert len(lines) <= max(height, 20)


@pytest.mark.parametrize("name", HOSTILE.values(), ids=HOSTILE)
def test_names_from_the_program_are_told_and_control_nothing(report, with_locks, name):
    threads = tuple(replace(thread, name=name) for thread in report.threads)
    blame = tuple(
        replace(row, waiter=name, holder=row.holder and name, function=name, filename=name, callee=name)
        for row in report.blame
    )
    stalls = tuple(
        replace(row, waiter=name, holder=name, holder_function=name, holder_filename=name)
        for row in report.longest_waits
    )
    hostile = replace(report, threads=threads, blame=blame, stacks=(), longest_waits=stalls)
    locks = tuple(replace(lock, name=name, owner=name, type=name) for lock in with_locks.locks)
    for one in (hostile, replace(with_locks, locks=locks, threads=threads)):
        screen = Screen()
        screen.show(read_between(None, one))
        screen.press(DOWN)
        for _ in range(2):
            shown = drawn(screen, replace(STATUS, title=name))
            assert all(c.isprintable() for line in shown.split("\n") for c in line)
            assert "[red]" not in name or "[red]" in shown
            screen.press(ENTER)


def order(shown):
    return [line.split("  ")[1].strip() for line in shown.splitlines()[4:7]]


def test_keys_sort_the_threads(screen):
    assert order(drawn(screen))[0] == "worker 1"
    screen.press("w")
    assert order(drawn(screen))[0] == "worker 2"
    screen.press("o")
    assert order(drawn(screen))[0] == "MainThread"
    screen.press("n")
    assert order(drawn(screen)) == ["MainThread", "worker 1", "worker 2"]


def test_a_frozen_screen_shows_what_it_did_until_it_is_thawed(screen, report):
    screen.press(" ")
    before = drawn(screen)
    assert "FROZEN" in before
    screen.show(read_between(None, replace(report, held_ns=0)))
    assert drawn(screen) == before
    screen.press(" ")
    screen.show(read_between(None, replace(report, held_ns=0)))
    assert "GIL held 0%" in drawn(screen)


def test_a_picked_thread_stays_picked_and_shows_its_sites(screen):
    screen.press("n")
    for key in (DOWN, DOWN, DOWN, DOWN, UP):  # beyond the last one is the last one
        screen.press(key)
    screen.press("h")
    (picked,) = [line for line in drawn(screen).splitlines() if line.startswith(">")]
    assert "worker 1" in picked
    screen.press(ENTER)
    alone = drawn(screen)
    assert "It held the GIL while others waited" in alone
    assert "590 ms  JSONEncoder.iterencode (encoder.py:250)" in alone.replace("lib/", "")
    screen.press(ESCAPE)
    assert "Longest waits" in drawn(screen)
    screen.press(DOWN)
    screen.press(ENTER)
    assert "nobody: the GIL was free" in drawn(screen)


def test_without_a_gil_locks_are_shown(without_gil):
    screen = Screen()
    screen.show(read_between(None, without_gil))
    shown = drawn(screen)
    assert "no GIL" in shown
    assert "3 threads by lock waits" in shown
    assert "Locks that threads waited for" in shown
    assert "GIL held" not in shown


def test_the_screen_says_what_is_wrong(screen):
    late = drawn(screen, replace(STATUS, late_s=3.0))
    assert "no answer for 3 s" in late
    assert "was killed by SIGKILL" in drawn(screen, replace(STATUS, ended="was killed by SIGKILL"))
    assert "| Traceback" in drawn(screen, replace(STATUS, printed=("Traceback",)))
    assert "waiting for the first reading" in drawn(Screen())
