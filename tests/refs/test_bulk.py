"""Many counts at once mean what a watch says of each, whatever the sequence and whoever changes it."""

from __future__ import annotations

import gc
import sys
import threading
from collections import deque

import pytest

from gilprobe import refs
from gilprobe.errors import InvalidTypeError


class Thing:
    pass


def things(number=4):
    return [Thing() for _ in range(number)]


@pytest.mark.parametrize("kind", [list, tuple, deque, lambda items: dict(enumerate(items)).values()])
def test_the_sequence_is_one_of_those_who_refer(kind):
    sequence = kind(things())
    expected = [1, 1, 1, 1]
    assert refs.counts(sequence).tolist() == expected
    found = next(iter(sequence))
    assert refs.counts(sequence)[0] == refs.watch(found).count == 2
    expected[0] += 1
    assert list(refs.counts(sequence)) == expected


def test_the_same_object_many_times_counts_itself():
    same = [Thing()] * 5
    assert refs.counts(same).tolist() == [5] * 5


def test_what_only_the_iterator_has_counts_zero():
    assert refs.counts(Thing() for _ in range(3)).tolist() == [0, 0, 0]


def test_the_result_is_a_buffer():
    found = refs.counts(things())
    assert isinstance(found, memoryview)
    assert bytes(found) == (1).to_bytes(4, sys.byteorder) * 4
    numpy = pytest.importorskip("numpy")
    array = numpy.asarray(found)
    assert array.dtype == numpy.int32
    found[0] = 77
    assert array[0] == 77  # no copy


@pytest.mark.parametrize("wrong", [3, None, object()])
def test_what_is_no_sequence_is_refused(wrong):
    with pytest.raises(InvalidTypeError, match="sequence must be iterable, got an object of type"):
        refs.counts(wrong)


def test_an_error_of_the_sequence_is_its_own():
    def broken():
        yield Thing()
        raise KeyError("its own")

    with pytest.raises(KeyError, match="its own"):
        refs.counts(broken())


def test_a_sequence_that_notices_a_change_says_so():
    queue = deque(things())

    def changing():
        for one in queue:
            queue.append(Thing())
            yield one

    with pytest.raises(RuntimeError, match="mutated during iteration"):
        refs.counts(changing())


def test_a_list_that_grows_while_it_is_iterated_over_is_read_to_its_end():
    class Growing(list):
        def __iter__(self):
            for number, one in enumerate(super().__iter__()):
                if number < 3:
                    self.append(Thing())
                yield one

    assert len(refs.counts(Growing(things()))) == 7


def test_a_list_that_the_collector_changes_on_the_way_is_read_as_it_is_then():
    """Making room for the answer may run the collector, and that anything."""
    items = things(50)

    class Shrinking:
        def __init__(self):
            self.itself = self

        def __del__(self):
            items.clear()
            items.extend(things(3))

    before = gc.get_threshold()
    gc.collect()
    Shrinking()
    gc.set_threshold(1)
    try:
        for _ in range(20):
            found = refs.counts(items)
            assert len(found) in (3, 50)
            assert set(found) == {1}
    finally:
        gc.set_threshold(*before)
        gc.collect()
    assert refs.counts(items).tolist() == [1, 1, 1]


def test_a_list_may_change_in_other_threads():
    items = things(500)
    end = threading.Event()

    def work():
        while not end.is_set():
            items.append(Thing())
            items.pop(0)
            items[10] = Thing()

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(500):
            found = refs.counts(items)
            assert 498 <= len(found) <= 502
            assert min(found) >= 1
            assert max(found) <= 4
    finally:
        end.set()
        for thread in threads:
            thread.join()


def test_all_that_the_collector_knows_can_be_read():
    """Whatever is in the making among it."""
    everything = gc.get_objects()
    found = refs.counts(everything)
    assert len(found) == len(everything)
    assert min(found) >= -1
