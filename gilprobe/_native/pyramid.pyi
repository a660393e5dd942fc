from collections.abc import Sequence
from typing import TypeAlias, final

from _typeshed import ReadableBuffer, WriteableBuffer

SHARES: int
HOLDERS: int
SUMS: int

_Batch: TypeAlias = Sequence[ReadableBuffer]
_Long: TypeAlias = tuple[int, int, int, int, list[tuple[int, int, int]], int]

class Intervals:
    def __init__(self, batch: _Batch) -> None: ...

@final
class Rows:
    def __init__(
        self,
        rows: ReadableBuffer,
        gils: ReadableBuffer,
        names: ReadableBuffer,
        *,
        row_count: int,
        gil_count: int,
        extent_ns: int,
    ) -> None: ...

def survey(batch: _Batch, extent_ns: int, threads: WriteableBuffer, places: WriteableBuffer) -> None: ...

@final
class Exact:
    def __init__(self, rows: Rows) -> None: ...
    def add(self, batch: _Batch) -> None: ...
    def row(self, number: int) -> bytes: ...

@final
class Pyramid:
    def __init__(self, rows: Rows, cells: int) -> None: ...
    @property
    def cell_ns(self) -> int: ...
    def add(self, batch: _Batch) -> None: ...
    def row(self, number: int, level: int) -> bytes: ...

@final
class Longest:
    def __init__(self, rows: Rows, keep: int) -> None: ...
    def add(self, batch: _Batch) -> None: ...
    def holds(self) -> list[_Long]: ...
    def waits(self) -> list[_Long]: ...
