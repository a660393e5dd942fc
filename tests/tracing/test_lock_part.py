"""The chunk of locks is read as hostile input, and its rows have names and add up."""

from __future__ import annotations

import pytest

from gilprobe._native.tracer import encoded_number, encoded_string
from gilprobe.errors import FormatError
from gilprobe.tracing.lock_part import LockPart
from gilprobe.tracing.places import Naming

NS = 1 << 32  # a tick is a nanosecond


def numbers(*values: int) -> bytes:
    return b"".join(map(encoded_number, values))


def account(native_id: int, name: str) -> bytes:
    return numbers(native_id << 1, 0, 0) + encoded_string(name)


WAITS, BLAME, LENGTH = range(3)
PLACE = numbers(0, 7) + encoded_string("f") + encoded_string("/app.py")
LOCK = (
    numbers(0)
    + encoded_string("_thread.lock")
    + encoded_string("self.lock")
    + encoded_string("C")
    + numbers(0)
)
ROWS = [
    numbers(WAITS, 1, 1, 3, 2, 100, 60, 10),
    numbers(BLAME, 1, 1, 3, 4, 3, 80),
    numbers(BLAME, 1, 1, 3, 0, 2, 15),
    numbers(LENGTH, 1, 40, 1 << 1),
    numbers(LENGTH, 1, 60, 1 << 1),
]


def payload(
    *,
    flags: int = 5,
    rows: list[bytes] = ROWS,
    under_way: tuple[bytes, ...] = (),
    locks: int = 1,
    cpu: tuple[bytes, ...] | None = None,
) -> bytes:
    return b"".join(
        [
            numbers(flags | (0 if cpu is None else 8), NS, 1000, 0, 0),
            numbers(2) + account(11, "waiter") + account(12, "holder"),
            numbers(len(rows)) + b"".join(rows),
            numbers(len(under_way)) + b"".join(under_way),
            b"" if cpu is None else numbers(len(cpu)) + b"".join(cpu),
            numbers(1) + PLACE,
            numbers(locks) + LOCK * locks,
        ]
    )


def who(native_id: int, _label: int, os_name: str, _ended: bool) -> Naming:
    return Naming(f"{os_name}-{native_id}", True)


def test_rows_have_names_and_add_up(environment):
    part = LockPart(payload())
    report = part.alone(who, environment, {}, ("doubt",))
    (lock,), (behind, free) = report.locks, report.lock_waits
    assert (lock.title, lock.waits, lock.wait_ns, lock.spun_ns) == ("Lock `self.lock` of C", 2, 100, 10)
    assert (behind.waiter, behind.holder, behind.function, behind.line) == ("waiter-11", "holder-12", "f", 7)
    assert (free.holder, free.function) == ("", "(handoff)")
    assert behind.wait_ns + free.wait_ns == 100  # what rounding left is in the largest
    assert (behind.wait_ns, report.elapsed_ns, report.warnings) == (85, 1000, ("doubt",))


def test_threads_have_their_cpu_times(environment):
    cpu = numbers(0, 22, 40), numbers(1, 22, 50), numbers(0, 26, 60)  # of 11, of 11 as thread 1, of 13
    report = LockPart(payload(cpu=cpu)).alone(who, environment, {13: "bystander"}, ())
    assert [(one.native_id, one.off_cpu_ns) for one in report.threads] == [(11, 50), (12, None), (13, 60)]
    assert [(row.cpu_ns, row.blocked_ns) for row in report.off_times()] == [
        (50, 860),
        (None, 1000),
        (60, 940),
    ]


def test_what_is_under_way_is_added():
    more = (numbers(WAITS, 1, 1, 3, 1, 7, 70, 0), numbers(BLAME, 1, 1, 3, 1, 2, 7), numbers(LENGTH, 1, 7, 2))
    (lock,), rows, (waiter,) = LockPart(payload(under_way=more))._told(who)
    assert (lock.waits, lock.wait_ns, lock.wait.max_ns) == (3, 107, 70)
    assert sum(row.wait_ns for row in rows) == 107
    assert (waiter.waits, waiter.wait_ns, waiter.longest_ns, waiter.spun_ns) == (3, 107, 70, 10)
    assert (waiter.waiter, waiter.waiter_id, waiter.function, waiter.line) == ("waiter-11", 11, "f", 7)
    assert "(not seen)" in {row.function for row in rows}


def test_locks_that_are_told_alike_are_one_row():
    second = [numbers(WAITS, 2, 1, 3, 1, 5, 5, 0), numbers(BLAME, 2, 1, 3, 4, 3, 5), numbers(LENGTH, 2, 5, 2)]
    (lock,), _, (waiter,) = LockPart(payload(rows=[*ROWS, *second], locks=2))._told(who)
    assert (lock.waits, lock.wait_ns) == (3, 105)
    assert (waiter.lock, waiter.waits, waiter.wait_ns) == (0, 3, 105)


def of_one(lock: bytes) -> tuple[str, str]:
    """Return the title and kind of the lock with this description."""
    whole = payload(locks=0)
    (told,), _, _ = LockPart(whole[:-1] + numbers(1) + lock)._told(who)
    return told.title, told.kind


def test_a_lock_inside_an_object_is_told_by_that():
    queue = numbers(6, 0) + b"".join(map(encoded_string, ("Queue", "JOBS", "app", ""))) + numbers(0)
    pool = numbers(6, 0) + b"".join(map(encoded_string, ("Pool", "self.pool", "App", "_lock"))) + numbers(0)
    handler = numbers(6, 0) + b"".join(map(encoded_string, ("Handler", "", "logging", "lock"))) + numbers(0)
    work = numbers(6, 4) + b"".join(map(encoded_string, ("", "SimpleQueue.get", "", ""))) + numbers(0)
    assert of_one(queue) == ("Queue `JOBS` (module app)", "lock")
    assert of_one(pool) == ("`_lock` of Pool `self.pool` of App", "lock")
    assert of_one(handler) == ("Handler's `lock` (module logging)", "lock")
    assert of_one(work) == ("work: SimpleQueue.get", "work")


def test_a_stop_of_all_threads_is_told_by_what_caused_it():
    assert of_one(numbers(7) + encoded_string("collector")) == ("stop the world: collector", "stop the world")
    assert of_one(numbers(3)) == ("stop the world", "stop the world")  # of older recordings, too


def test_what_can_have_no_part_is_refused():
    stop = numbers(6, 3) + b"".join(map(encoded_string, ("", "", "", ""))) + numbers(0)
    with pytest.raises(ValueError, match="what has a part must be a lock, an object or work, got stop the"):
        of_one(stop)
    with pytest.raises(ValueError, match="below 8"):
        of_one(numbers(8))


def test_every_cut_is_refused():
    whole = payload(cpu=(numbers(1, 22, 50),))
    for size in range(len(whole)):
        with pytest.raises(ValueError):  # noqa: PT011  # the rule differs from byte to byte
            LockPart(whole[:size])
    with pytest.raises(ValueError, match="follow the end"):
        LockPart(whole + b"\0")


@pytest.mark.parametrize(
    ("bad", "rule"),
    [
        (payload(flags=16), "below 16"),
        (payload(cpu=(numbers(3, 22, 1),)), "a thread that is described"),
        (payload(rows=[numbers(WAITS, 2, 1, 3, 1, 1, 1, 0)]), "a lock, a thread and a place"),
        (payload(rows=[numbers(WAITS, 1, 3, 3, 1, 1, 1, 0)]), "a lock, a thread and a place"),
        (payload(rows=[numbers(WAITS, 1, 1, 4, 1, 1, 1, 0)]), "a lock, a thread and a place"),
        (payload(rows=[*ROWS, numbers(BLAME, 1, 1, 3, 9, 3, 1)]), "a wait and a holder"),
        (payload(rows=[*ROWS, numbers(BLAME, 1, 2, 3, 2, 3, 1)]), "a wait and a holder"),
        (payload(rows=[*ROWS, numbers(LENGTH, 1, 4000, 2)]), "of a bucket"),
        (payload(rows=[*ROWS, numbers(LENGTH, 1, 5, 3)]), "of a bucket"),
        (payload(rows=[numbers(3)]), "below 3"),
        (payload(rows=[numbers(WAITS, 1, 1, 3, 1, 1 << 63, 1, 0)]), "a time must be below"),
        (numbers(5, NS, 1, 0, 0, 1 << 30), "below 1048576"),
        (b"\xff" * 11, "at most 64 bits"),
    ],
)
def test_what_is_not_true_is_refused(bad: bytes, rule: str):
    with pytest.raises(ValueError, match=rule) as raised:
        LockPart(bad)
    assert not isinstance(raised.value, FormatError)  # the reader of files adds the offset
