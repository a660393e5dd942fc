"""The census reaches every object, and each that moves is told once."""

from __future__ import annotations

import gc

import pytest

from gilprobe.refs.leak_census import grown, population

pytestmark = pytest.mark.plain_python


class Plain:
    """Is referred to by the census, too, and by its instances."""


def names(held):
    return set(map(id, held))


def test_what_the_collector_knows_and_what_it_does_not_are_counted():
    text, number = "".join(["not ", "interned"]), 10**20
    outer = [{"key": (text, (number,))}, Plain()]
    held, whole = population()
    assert whole
    assert {id(outer), id(outer[0]), id(text), id(number), id(Plain), id(int)} <= names(held)


def test_what_others_have_frozen_is_counted_as_far_as_it_is_reached():
    inner = "".join(["deeply ", "held"])
    outer = [[[inner]], Plain()]
    gc.freeze()
    later = [outer]
    try:
        held, whole = population()
    finally:
        gc.unfreeze()
    assert whole
    assert {id(later), id(outer), id(outer[0]), id(outer[0][0]), id(inner), id(Plain)} <= names(held)


def test_a_walk_that_takes_too_long_is_told_to_be_a_part():
    held, whole = population(patience_s=-1.0)
    assert held
    assert not whole


def test_an_object_that_is_counted_in_several_places_is_told_once():
    thing, kept = "".join(["moving ", "thing"]), []
    outer = [(thing,), (thing, thing), {"key": thing}]
    held, _ = population()
    assert sum(one is thing for one in held) > 1
    found = grown(held, lambda calls: kept.extend([thing] * calls), 10, gc.collect)
    assert sum(one is thing for one in found) == 1
    assert outer[0][0] is thing
