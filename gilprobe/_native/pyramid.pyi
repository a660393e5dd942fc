from collections.abc import Sequence
from typing import Self, TypeAlias, final

from _typeshed import ReadableBuffer, WriteableBuffer

SHARES: int
HOLDERS: int
SUMS: int

_Batch: TypeAlias = Sequence[ReadableBuffer]
_Long: TypeAlias = tuple[int, int, int, int, list[tuple[int, int, int]], int]

@final
class Intervals:
    def __new__(cls, batch: _Batch) -> Self: ...

@final
class Rows:
    def __new__(
        cls,
        rows: ReadableBuffer,
        gils: ReadableBuffer,
        names: ReadableBuffer,
        *,
        row_count: int,
        gil_count: int,
        extent_ns: int,
    ) -> Self: ...

def survey(batch: _Batch, extent_ns: int, threads: WriteableBuffer, places: WriteableBuffer) -> None: ...

@final
class Exact:
    def __new__(cls, rows: Rows) -> Self: ...
    def add(self, batch: _Batch) -> None: ...
    def row(self, number: int) -> bytes: ...

@final
class Pyramid:
    def __new__(cls, rows: Rows, cells: int) -> Self: ...
    @property
    def cell_ns(self) -> int: ...
    def add(self, batch: _Batch) -> None: ...
    def row(self, number: int, level: int) -> bytes: ...

@final
class Longest:
    def __new__(cls, rows: Rows, keep: int, looks: int) -> Self: ...
    def add(self, batch: _Batch) -> None: ...
    def holds(self) -> list[_Long]: ...
    def waits(self) -> list[_Long]: ...
