"""The pytest plugin: options, markers and a fixture. The implementation is loaded only when a run uses it.

pytest imports this module in every run of every project that has gilprobe installed, so it imports nothing:
no compiled module, no tracer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from gilprobe.pytest_plugin.fixture import Gil

MARKERS = {
    "releases_gil": "releases_gil(at_least=0.9): the test must not hold the GIL for this share of its time",
    "max_gil_hold": 'max_gil_hold("5ms"): no thread may hold the GIL for longer than this during the test',
    "no_leaks": "no_leaks(warmup=..., repeats=..., calls=..., limit_s=...): repeated runs of the test "
    "must not leave references, objects, memory, threads or files behind",
    "max_lock_wait": 'max_lock_wait("5ms"): no thread may wait longer than this for a lock during the test',
    "scales": "scales(at_least=0.8, threads=2): each of several threads that run the test at once must get "
    "this share done of what one alone does",
}

_TOP = 10


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the options."""
    group = parser.getgroup("gilprobe", "who holds the GIL and locks, and what leaks")
    group.addoption(
        "--gil",
        action="store_true",
        help="trace the GIL in every test: a column with -v, and at the end the tests that held it longest",
    )
    group.addoption(
        "--gil-top",
        type=_count,
        default=_TOP,
        metavar="N",
        help=f"how many tests to show at the end ({_TOP})",
    )
    group.addoption(
        "--locks",
        action="store_true",
        help="trace locks in every test: a column with -v, and at the end the tests in which threads waited "
        "for locks, and for which",
    )
    group.addoption(
        "--locks-top",
        type=_count,
        default=_TOP,
        metavar="N",
        help=f"how many tests and locks to show at the end ({_TOP})",
    )
    group.addoption(
        "--leaks",
        action="store_true",
        help="run every passed test repeatedly, and show at the end which leave objects, "
        "memory, threads or files behind; outcomes don't change",
    )


def _count(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and 1 <= len(text) <= 6 and int(text)):
        raise ValueError(text)
    return int(text)


_count.__name__ = "number above 0"  # argparse shows the type's name in its error


def pytest_configure(config: pytest.Config) -> None:
    """Declare the markers; load the implementation of ``--gil``, ``--locks`` and ``--leaks`` if given."""
    for line in MARKERS.values():
        config.addinivalue_line("markers", line)
    gil, locks = config.getoption("--gil"), config.getoption("--locks")
    if gil or locks:
        from gilprobe.pytest_plugin import traced_tests

        config.pluginmanager.register(traced_tests.TracedTests(gil=gil, locks=locks), traced_tests.NAME)
    if gil:
        from gilprobe.pytest_plugin import overview

        config.pluginmanager.register(overview.Overview(config), "gilprobe-overview")
    if locks:
        from gilprobe.pytest_plugin import locks_overview

        config.pluginmanager.register(locks_overview.LocksOverview(config), "gilprobe-locks-overview")
    if config.getoption("--leaks"):
        from gilprobe.pytest_plugin import leaking, leaks_overview

        config.pluginmanager.register(leaking.HuntedTests(all_tests=True), leaking.NAME)
        config.pluginmanager.register(leaks_overview.LeaksOverview(), "gilprobe-leaks-overview")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Load the implementation of the markers if a test has one."""
    used = {name for name in MARKERS if any(name in item.keywords for item in items)}
    if used:  # it reads all markers
        from gilprobe.pytest_plugin import traced_tests

        if not config.pluginmanager.has_plugin(traced_tests.NAME):
            config.pluginmanager.register(traced_tests.TracedTests(gil=False, locks=False), traced_tests.NAME)
    if "no_leaks" in used:
        from gilprobe.pytest_plugin import leaking

        if not config.pluginmanager.has_plugin(leaking.NAME):
            config.pluginmanager.register(leaking.HuntedTests(all_tests=False), leaking.NAME)


@pytest.fixture
def gil() -> Gil:
    """Trace the GIL inside a test: ``with gil.trace() as t: ...``, then ``t.report()``.

    Where the GIL can't be traced, the test is skipped with the reason.
    """
    from gilprobe.pytest_plugin.fixture import Gil

    return Gil()
