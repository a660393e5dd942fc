"""A pool of threads for pandas: each file is grouped and summed up in Python, which does not scale.

Needs pandas.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pandas
from spent import spent

ROWS, FILES, SUMS = 120_000, 4, 24


def read(number: int) -> pandas.DataFrame:
    """Make what a file would have."""
    shops = [row * number % 400 for row in range(ROWS)]
    return pandas.DataFrame({"shop": shops, "price": [row * 7 % 1_000 for row in range(ROWS)]})


def spread(prices: pandas.Series) -> float:
    """Return the distance of the quartiles."""
    ordered = sorted(prices)
    return float(ordered[3 * len(ordered) // 4] - ordered[len(ordered) // 4])


def summarise(frame: pandas.DataFrame) -> int:
    """Sum up one file."""
    with spent("groupby().agg"):
        table = frame.groupby("shop")["price"].agg(spread)
    with spent("to_csv"):
        return len(table.to_csv())


def main() -> None:
    """Sum up all files in four threads, several times."""
    frames = [read(number) for number in range(1, FILES + 1)]
    with ThreadPoolExecutor(4, thread_name_prefix="summary") as pool:
        print(sum(pool.map(summarise, (frames[number % FILES] for number in range(SUMS)))))


if __name__ == "__main__":
    main()
