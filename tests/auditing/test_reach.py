"""Which objects a call reaches, and how code gets at them."""

from __future__ import annotations

import copy
import enum
import threading
import types
from functools import partial
from typing import ClassVar

import pytest

from gilprobe.auditing.reach import MOST, Reach, Step

pytestmark = pytest.mark.plain_python

TABLE = [["a"]]
UNUSED = ["nobody names it"]


class Color(enum.Enum):
    RED = 1


class Holder:
    shared: ClassVar = ["of the class"]

    def __init__(self):
        self.items = [object()]

    @property
    def trap(self):
        raise AssertionError("a property must not run")

    def read(self):
        return self.items, self.shared, self.trap


def names(function, *args):
    return {one.name: one.value for one in Reach(function, args, "the call").found.values()}


def test_the_function_and_its_arguments_come_first():
    given = [object()]
    found = [*Reach(len, (given,), "len").found.values()]
    assert [(one.name, one.value) for one in found[:2]] == [("len", len), ("argument 1", given)]
    assert names(len, given)["argument 1[0]"] is given[0]


def test_globals_are_those_that_the_code_names():
    def call():
        return TABLE

    found = names(call)
    assert found[f"{__name__}.TABLE"] is TABLE
    assert found[f"{__name__}.TABLE[0]"] is TABLE[0]
    assert not any(value is UNUSED for value in found.values())


def test_functions_that_are_called_are_followed_through_modules():
    def call():
        return copy.deepcopy(1)

    assert names(call)["copy._deepcopy_dispatch"] is copy._deepcopy_dispatch


def test_code_inside_of_code_counts():
    def call():
        return (lambda: TABLE)()

    assert f"{__name__}.TABLE" in names(call)


def test_closures_and_defaults_are_reached():
    value, default, keyword = [object()], [object()], [object()]

    def call(given=default, *, other=keyword):
        return value, given, other

    found = names(call)
    shown = call.__qualname__
    assert found[f"closure variable 'value' of {shown}"] is value
    assert found[f"the default of 'other' in {shown}"] is keyword
    assert found[f"the default of 'given' in {shown}"] is default


def test_bound_methods_and_partials_lead_to_what_is_inside():
    holder = Holder()
    found = names(partial(holder.read))
    assert found["the call.func.__self__"] is holder
    assert found["the call.func.__self__.items"] is holder.items


def test_attributes_of_classes_are_found_and_no_property_runs():
    holder = Holder()
    values = [*names(holder.read).values()]
    assert any(value is Holder.shared for value in values)
    assert any(value is holder.items[0] for value in values)


def test_members_of_enums_are_attributes():
    def call():
        return Color.RED

    assert names(call)[f"{__name__}.Color.RED"] is Color.RED


def test_what_only_the_collector_knows_is_reached():
    class Slots:
        __slots__ = ("hidden",)

    one = Slots()
    one.hidden = [object()]
    assert any(value is one.hidden for value in names(len, one).values())


def test_each_way_to_an_object_is_known():
    shared = [object()]
    first, second = [shared], (shared,)
    reach = Reach(len, (first, second), "len")
    ways = reach.found[id(shared)].ways
    assert {(way.holder, way.step) for way in ways} == {(id(first), Step.ITEM), (id(second), Step.ITEM)}


def test_circles_end():
    ring: list[object] = []
    ring.append(ring)
    assert names(len, ring)["argument 1"] is ring


def test_foreign_attribute_access_is_not_run():
    class Hostile:
        def __getattribute__(self, name):
            raise AssertionError(name)

    assert "argument 1" in names(len, Hostile())


def test_too_many_objects_are_told():
    reach = Reach(len, ([[[] for _ in range(900)] for _ in range(60)],), "len")
    assert len(reach.found) == MOST
    assert not reach.whole


def test_modules_are_not_listed_whole():
    def call():
        return threading.Lock

    values = names(call).values()
    assert any(value is threading.Lock for value in values)
    assert not any(value is threading.settrace for value in values)
    assert not any(type(value) is types.FrameType for value in values)
