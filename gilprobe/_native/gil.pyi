from collections.abc import Callable
from typing import Any, TypedDict, final

NO_GIL: str

class _Totals(TypedDict):
    elapsed_ns: int
    contended_ns: int
    handoffs: int
    lost: int
    hooks_lost: bool
    releases_told_apart: bool

class _Account(TypedDict):
    native_id: int
    os_name: str
    label: int
    ended: bool
    lifetime_ns: int
    hold_ns: int
    wait_ns: int
    off_ns: int
    longest_hold_ns: int
    longest_wait_ns: int
    imbalance_ticks: int
    acquisitions: int
    contended_acquisitions: int
    releases: int
    forced_releases: int
    holds: list[tuple[int, int]]
    waits: list[tuple[int, int]]

def gil_enabled() -> bool: ...
def support() -> tuple[bool, str]: ...
def clock_name() -> str: ...
def clock_cost_ns(readings: int = 20000) -> float: ...
def label_thread(label: int) -> None: ...
def before_call(method: Callable[..., Any], note: Callable[[Any], None]) -> Callable[..., Any]: ...
def sessions() -> int: ...

@final
class ThreadLabels:
    def __new__(cls) -> ThreadLabels: ...
    def note(self, thread: object) -> None: ...
    def name(self, label: int) -> str: ...

@final
class Session:
    def __new__(cls) -> Session: ...
    @property
    def running(self) -> bool: ...
    def stop(self) -> None: ...
    def read(self) -> tuple[_Totals, list[_Account]]: ...
