"""Rows of threads: as many as people read, and nothing lost."""

from __future__ import annotations

import random

import pytest

from gilprobe.model.distribution import BUCKETS, Distribution, bucket_bounds_ns
from gilprobe.render.html.process.places import NOWHERE
from gilprobe.render.html.process.threads import ThreadRows, distribution

pytestmark = pytest.mark.plain_python


def made_up_distribution(seed):
    random_ = random.Random(seed)
    buckets = {random_.randrange(BUCKETS - 1): random_.randint(1, 50) for _ in range(40)}
    most_ns = bucket_bounds_ns(max(buckets))[1] - 1
    total_ns = sum(number * bucket_bounds_ns(bucket)[0] for bucket, number in buckets.items()) + most_ns
    return Distribution(sum(buckets.values()), total_ns, most_ns, tuple(sorted(buckets.items())))


def bounds_ns(bin_):
    return 2 ** (bin_ // 4) * (4 + bin_ % 4) / 4, 2 ** ((bin_ + 1) // 4) * (4 + (bin_ + 1) % 4) / 4


def test_every_bucket_lies_in_one_bin():
    for bucket in range(1, BUCKETS):
        low, high = bucket_bounds_ns(bucket)
        shown = distribution([Distribution(1, high - 1, high - 1, ((bucket, 1),))])
        from_, to = bounds_ns(shown["first"])
        assert shown["counts"] == [1]
        assert from_ <= low
        assert high <= to or high - low == 1  # below 4 ns bins are narrower than buckets


def test_a_shown_distribution_counts_the_same_intervals():
    whole = made_up_distribution(1).merge(made_up_distribution(2))
    shown = distribution([made_up_distribution(1), made_up_distribution(2)])
    assert shown["zero"] + sum(shown["counts"]) == shown["count"] == whole.count
    assert (shown["total_ns"], shown["max_ns"]) == (whole.total_ns, whole.max_ns)
    assert shown["quantiles_ns"] == sorted(shown["quantiles_ns"])
    assert shown["quantiles_ns"][0] == round(whole.quantile(0.5) * 1e9)


def test_waits_of_no_length_are_counted_by_themselves():
    shown = distribution([Distribution(5, 7, 7, ((0, 4), (7, 1)))])
    assert (shown["zero"], shown["counts"]) == (4, [1])


def test_an_empty_distribution_is_shown_as_none():
    assert distribution([])["counts"] == []


@pytest.mark.parametrize("number", [3, 200, 201, 5000])
def test_threads_beyond_those_that_are_read_are_one_row_and_no_time_is_lost(account, number):
    accounts = [
        account("thread " + "".join(chr(97 + int(digit)) for digit in str(n)), n, 2 * n, 1, native_id=n + 1)
        for n in range(number)
    ]
    threads = ThreadRows(accounts)
    rows = threads.described()
    assert len(rows) <= 201
    assert sum(row["merged"] for row in rows) == number
    for key in ("hold_ns", "wait_ns", "off_ns", "lifetime_ns", "acquisitions"):
        assert sum(row[key] for row in rows) == sum(getattr(one, key) for one in accounts)
    assert threads.folded == max(0, number - 200)
    if threads.folded:
        assert rows[-1]["name"] == f"{threads.folded} more threads, summed"
        assert threads.number(accounts[0].name, 1) == len(rows) - 1
    assert rows[threads.number(accounts[-1].name, number)]["name"] == accounts[-1].name


def test_ended_threads_whose_names_differ_in_numbers_are_one_row_if_there_are_many(account):
    accounts = [account(f"Thread-{n} (handle)", native_id=n) for n in range(1, 900)]
    threads = ThreadRows([account("MainThread", ended=False), *accounts])
    assert [row["name"] for row in threads.described()] == ["MainThread", "Thread-N (handle) x 899"]
    assert threads.number("Thread-77 (handle)", 77) == 1


def test_a_name_that_two_threads_have_means_neither_without_a_number(account):
    threads = ThreadRows([account("worker", native_id=1), account("worker", native_id=2), account("other")])
    assert threads.number("worker") == NOWHERE
    assert threads.number("worker", 2) == 1
    assert threads.number("other") == 2
    assert threads.number("unheard of", 9) == NOWHERE
