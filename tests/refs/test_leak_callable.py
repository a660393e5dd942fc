"""A function whose own code never ran is refused, and not told clean; one of `async def` is run."""

from __future__ import annotations

import asyncio
import functools
import unittest
from unittest import mock

import pytest

from gilprobe.errors import InvalidTypeError, InvalidValueError
from gilprobe.refs import find_leaks

pytestmark = pytest.mark.plain_python

SHORT = {"warmup": 1, "repeats": 5, "calls": 10}
kept = []
lent = []


def needs_argument(number):
    kept.append([number])


async def keeps_soon(*args):
    await asyncio.sleep(0)
    kept.append([args])


async def makes_values():
    kept.append([1])
    yield 1


def makes_numbers():
    kept.append([1])
    yield 1


class Case:
    def method(self):
        kept.append([self])

    async def soon(self):
        kept.append([self])


class Soon:
    async def __call__(self):
        kept.append([self])


class Lazy:
    def __call__(self):
        yield kept.append([self])


@functools.wraps(needs_argument)
def passes_on(*args):
    return needs_argument(*args)


def coroutine():
    return keeps_soon()


NEVER_RUN = {
    "needs an argument": (needs_argument, {}),
    "given too many": (needs_argument, {"args": (1, 2)}),
    "given an unknown name": (needs_argument, {"args": (1,), "kwargs": {"unknown": 2}}),
    "only with a keyword": (lambda *, number: kept.append([number]), {}),
    "unbound method": (Case.method, {}),
    "unbound asynchronous method": (Case.soon, {}),
    "behind a decorator": (passes_on, {}),
    "partial": (functools.partial(needs_argument, 1, 2), {}),
    "class": (functools.partial, {}),
    "built in": (getattr, {}),
    "method of a built-in type": (str.upper, {}),
    "asynchronous, needs an argument": (keeps_soon, {"kwargs": {"unknown": 2}}),
}
LAZY = {
    "generator": (makes_numbers, "a generator"),
    "asynchronous generator": (makes_values, "an asynchronous generator"),
    "partial of a generator": (functools.partial(makes_numbers), "a generator"),
    "partial of an asynchronous generator": (functools.partial(makes_values), "an asynchronous generator"),
    "returns a generator": (lambda: makes_numbers(), "a generator"),
    "returns an asynchronous generator": (lambda: makes_values(), "an asynchronous generator"),
    "returns a coroutine": (coroutine, "a coroutine"),
    "partial that returns a coroutine": (functools.partial(coroutine), "a coroutine"),
    "object whose call is a generator": (Lazy(), "a generator"),
    "cached coroutine": (functools.lru_cache(keeps_soon), "a coroutine"),
}


@pytest.fixture(autouse=True)
def _nothing_is_kept():
    kept.clear()
    yield
    kept.clear()


@pytest.mark.parametrize("case", NEVER_RUN)
def test_a_function_that_does_not_take_its_arguments_is_refused_and_never_run(case):
    function, given = NEVER_RUN[case]
    with pytest.raises(InvalidTypeError, match=r"^function must accept its arguments, .* does not: "):
        find_leaks(function, **given, **SHORT)
    assert kept == []


@pytest.mark.parametrize("case", LAZY)
def test_a_function_that_only_makes_something_that_would_run_is_refused(case):
    function, word = LAZY[case]
    with pytest.raises(InvalidTypeError, match=f"must run when it is called, .* returns {word}$"):
        find_leaks(function, **SHORT)
    assert kept == []


@pytest.mark.parametrize("function", [keeps_soon, functools.partial(keeps_soon, 1), Soon(), Case().soon])
def test_coroutines_run_to_their_end_and_their_leaks_are_found(function):
    report = find_leaks(function, **SHORT)
    assert report.leaking
    assert report.raised == 0
    assert len(kept) == report.calls


def test_the_event_loop_is_one_and_no_leak():
    async def looks():
        lent[:] = [*lent[:1], asyncio.get_running_loop()]
        await asyncio.sleep(0)

    try:
        assert not find_leaks(looks, **SHORT).leaking
        assert lent[0] is lent[1]
        assert lent[0].is_closed()
    finally:
        lent.clear()


def test_a_coroutine_function_is_refused_where_a_loop_runs():
    async def hunts():
        find_leaks(keeps_soon)

    with pytest.raises(InvalidValueError, match=r"must be called where no event loop runs: .*keeps_soon"):
        asyncio.run(hunts())


@mock.patch(f"{__name__}.needs_argument")
def patched(replaced):
    """Ask for an argument by its signature, which the decorator gives."""
    kept.append([replaced])


def fails_for_itself(number=3):
    kept.append(number)
    raise TypeError("takes 3 positional arguments, it says")


@pytest.mark.slow
def test_what_takes_its_arguments_is_judged_whatever_its_signature_says():
    assert find_leaks(patched, **SHORT).calls == len(kept)


def test_an_error_of_the_body_is_counted_whatever_it_says():
    report = find_leaks(fails_for_itself, **SHORT)
    assert report.raised == report.calls == len(kept)


def test_a_test_that_skips_itself_is_not_judged():
    def skips():
        raise unittest.SkipTest("not\ntoday")

    with pytest.raises(InvalidValueError, match=r"skips skipped itself: 'not\\ntoday'"):
        find_leaks(skips, **SHORT)


@pytest.mark.parametrize("error", [KeyboardInterrupt, asyncio.CancelledError, BaseException])
def test_what_is_no_ordinary_error_goes_on_to_the_caller(error):
    def ends():
        raise error

    with pytest.raises(error):
        find_leaks(ends, **SHORT)


class Once:
    """Has a reference to spare for each call."""


def test_globals_of_a_wrapped_function_are_looked_at():
    @functools.wraps(keeps_the_shared_object)
    def wrapper():
        return keeps_the_shared_object()

    report = find_leaks(wrapper, **SHORT)
    assert "references to global 'shared'" in [one.what for one in report.findings]


shared = Once()


def keeps_the_shared_object():
    kept.append(shared)
