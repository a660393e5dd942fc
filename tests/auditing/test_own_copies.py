"""A thread's own copies in place of some objects: what is new, what stays, and what can't be copied."""

from __future__ import annotations

import copy
import sys
import threading
from collections import deque
from functools import partial
from typing import ClassVar

import pytest

from gilprobe.auditing.own_copies import OwnCopies
from gilprobe.auditing.reach import Reach

pytestmark = pytest.mark.plain_python

LOCK = threading.Lock()
TABLE = {"a": [1]}
OTHER = {"b": [2]}


class Holder:
    def __init__(self, items):
        self.items = items

    def read(self):
        return self.items


def read_table():
    return TABLE, OTHER


def read_table_by_another():
    return read_table()


def copies(wanted, function, *args):
    reach = Reach(function, args, "the call")
    return OwnCopies(reach, function, args, [id(one) for one in wanted])


def made(wanted, function, *args):
    plan = copies(wanted, function, *args)
    assert plan.missing() == set()
    return plan.make()


def is_new(new, old):
    return new is not old and new == old


def test_an_argument_is_new_and_the_other_stays():
    first, second = [1], [2]
    new, kept = made([first], lambda *both: both, first, second)()
    assert is_new(new, first)
    assert kept is second


def test_each_thread_has_another():
    value = {1}
    plan = copies([value], lambda one: one, value)
    assert plan.make()() is not plan.make()()


def test_a_global_is_new_and_the_others_stay():
    table, other = made([TABLE], read_table)()
    assert is_new(table, TABLE)
    assert other is OTHER
    assert read_table()[0] is TABLE, "the program's own is untouched"


def test_what_a_container_holds_is_shared_unless_it_is_wanted():
    table, _ = made([TABLE], read_table)()
    assert table["a"] is TABLE["a"]
    table, _ = made([TABLE["a"]], read_table)()
    assert is_new(table["a"], TABLE["a"])


def test_functions_between_are_copied():
    assert is_new(made([TABLE], read_table_by_another)()[0], TABLE)


def test_a_closure_is_new():
    value = [1]

    def call():
        return value

    assert is_new(made([value], call)(), value)
    assert call() is value


def test_a_closure_that_holds_itself_is_new():
    value = [1]

    def call(depth=1):
        return call(depth - 1) if depth else value

    assert is_new(made([value], call)(), value)


def test_defaults_are_new():
    first, second = [1], [2]

    def call(one=first, *, two=second):
        return one, two

    new = made([first, second], call)()
    assert is_new(new[0], first)
    assert is_new(new[1], second)


def test_a_bound_method_gets_an_instance_of_its_own():
    holder = Holder([1])
    assert is_new(made([holder.items], holder.read)(), holder.items)
    assert made([holder], holder.read)() is holder.items


def test_an_object_in_a_module_of_the_standard_library_is_new():
    def dispatch():
        return copy._deepcopy_dispatch

    new = made([copy._deepcopy_dispatch], dispatch)()
    assert new is not copy._deepcopy_dispatch
    assert new.keys() == copy._deepcopy_dispatch.keys()
    call = made([copy._deepcopy_dispatch], copy.deepcopy, [1, [2]])
    assert call() == [1, [2]]
    assert call.func.__globals__["_deepcopy_dispatch"] is not copy._deepcopy_dispatch
    assert sys.modules["copy"] is copy


@pytest.mark.parametrize(
    "value",
    [[1], {1: 2}, {1}, frozenset({1, 2}), deque([1]), bytearray(b"1"), ([1],), Holder(1)],
    ids=lambda value: type(value).__name__,
)
def test_containers_and_instances_have_copies(value):
    new = made([value], lambda one: one, value)()
    assert new is not value
    assert type(new) is type(value)


def test_a_lock_is_made_anew():
    assert made([LOCK], lambda: LOCK)() is not LOCK


def test_a_partial_is_made_anew():
    value = [1]
    call = made([value], partial(partial(lambda one, two: (one, two), value), two=value))
    assert all(is_new(one, value) for one in call())


def test_two_ways_lead_to_the_same_copy():
    value = [1]
    first, second = made([value], lambda *both: both, [value], (value,))()
    assert first[0] is second[0]
    assert is_new(first[0], value)


def test_a_circle_is_copied_as_one():
    ring: list[object] = [1]
    ring.append(ring)
    new = made([ring], lambda one: one, ring)()
    assert new[1] is new
    assert new is not ring


def test_what_has_no_copy_is_told_and_stays():
    def generate():
        yield [1]

    value = generate()
    plan = copies([value], lambda one: one, value)
    assert plan.missing() == {id(value)}
    assert plan.make()() is value


def test_what_is_behind_something_without_a_copy_is_told():
    class Closed:
        items: ClassVar = [1]

    plan = copies([Closed.items], lambda: Closed.items)
    assert plan.missing() == {id(Closed.items)}
