from collections.abc import Collection, Sequence
from typing import TypeAlias, TypedDict

from _typeshed import ReadableBuffer, WriteableBuffer

HEADER_SIZE: int
CHUNK_HEADER_SIZE: int

class _Totals(TypedDict):
    final: bool
    hooks_lost: bool
    releases_told_apart: bool
    sites: bool
    stacks: bool
    timeline: bool
    cpu_time: bool
    others_missed: bool
    looks: bool
    looks_unseen: int
    looks_free: int
    interpreter: int
    factor: int
    elapsed_ns: int
    contended_ns: int
    handoffs: int
    lost: int
    sites_lost_ns: int
    dropped_events: int

class _Account(TypedDict):
    number: int
    native_id: int
    os_name: str
    label: int
    ended: bool
    merged: int
    first_ns: int
    lifetime_ns: int
    hold_ns: int
    wait_ns: int
    off_ns: int
    longest_hold_ns: int
    longest_wait_ns: int
    blamed_ns: int
    imbalance_ticks: int
    acquisitions: int
    contended_acquisitions: int
    releases: int
    forced_releases: int
    hold_cpu_ns: int | None
    holds: Sequence[tuple[int, int]]
    waits: Sequence[tuple[int, int]]

_Tally: TypeAlias = tuple[int, int | None, int, int, int, int, int, int]
_PauseSum: TypeAlias = tuple[int, int | None, int | None, int, int, int, int, int, int, int, int]
_LockWait: TypeAlias = tuple[int, int, int, int, int, int, int, int, int, int, int]
_Stall: TypeAlias = tuple[int, int | None, int | None, int | None, int, int, int, int | None]
_Pause: TypeAlias = tuple[int, int | None, int, int, int, int, int, int, int]

class _Pauses(TypedDict):
    lost: int
    sums: list[_PauseSum]
    longest: list[_Pause]
    looks: list[_Tally]

class _Snapshot(TypedDict):
    totals: _Totals
    accounts: list[_Account]
    sites: list[tuple[int, int, int, int, int]]
    blame: Collection[tuple[int, int, int | None, int]]
    stalls: Collection[_Stall]
    looks: list[_Tally]
    pauses: _Pauses | None
    callbacks: list[_Callback]
    labels: tuple[list[_LabelRow], list[tuple[int, int, int]]] | None

_LabelRow: TypeAlias = tuple[int, str, int, int, int, int, int]
_Named: TypeAlias = tuple[str, str, int]
_Callback: TypeAlias = tuple[int, int, int, str, _Named, int, int, _Named, str]
_Place: TypeAlias = tuple[int | None, int, int, str, str]
_Seen: TypeAlias = tuple[int, int, int, int, int | None, int]
_Thread: TypeAlias = tuple[int, int, int, str, int]

def check_header(header: ReadableBuffer) -> None: ...
def chunk_size(header: ReadableBuffer, left: int) -> int | None: ...
def is_intact(header: ReadableBuffer, payload: ReadableBuffer) -> bool: ...
def crc32(data: ReadableBuffer, crc: int = 0) -> int: ...
def decode_labels(payload: ReadableBuffer) -> list[tuple[int, str]]: ...
def decode_names(payload: ReadableBuffer) -> list[tuple[int, str]]: ...
def split_interpreter(payload: ReadableBuffer) -> tuple[int, memoryview]: ...
def decode_threads(entries: ReadableBuffer) -> list[_Thread]: ...
def decode_places(entries: ReadableBuffer, first: int = 0) -> list[_Place]: ...
def decode_seen(entries: ReadableBuffer) -> list[_Seen]: ...
def events_head(payload: ReadableBuffer) -> tuple[int, int, int]: ...
def read_events(
    payload: ReadableBuffer, threads: ReadableBuffer, places: ReadableBuffer, factor: int
) -> tuple[memoryview, memoryview, memoryview, memoryview, memoryview]: ...
def add_events(
    payload: ReadableBuffer, threads: ReadableBuffer, places: ReadableBuffer, sums: WriteableBuffer
) -> None: ...
def read_lock_waits(payload: ReadableBuffer) -> tuple[list[_LockWait], int]: ...
def decode_pauses(entries: ReadableBuffer, factor: int) -> list[_Pause]: ...
def decode_snapshot(payload: ReadableBuffer) -> _Snapshot: ...
