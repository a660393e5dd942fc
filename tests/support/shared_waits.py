"""Waits that looks share out, each by waiter, holder and place."""

from collections import defaultdict


def shared_waits(looks, totals):
    """Return the shares of such totals, and the nanoseconds without a look."""
    by_waiter, shares, unshared_ns = defaultdict(dict), {}, 0
    for (waiter, holder, ended), wait_ns in totals.items():
        by_waiter[waiter][holder, ended] = wait_ns
    for waiter, shared, rest_ns in looks.waits(by_waiter):
        shares |= {(waiter, *key): tuple(row) for key, row in shared.items()}
        unshared_ns += rest_ns
    return shares, unshared_ns
