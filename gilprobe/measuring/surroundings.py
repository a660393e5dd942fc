"""Notice disturbances of a measurement: other processes, the hypervisor, a changed clock."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from gilprobe.model.machine import CpuTimes

_OTHER_LOAD_LIMIT = 0.05
_STEAL_LIMIT = 0.01


class Instruments(Protocol):
    """Functions that read the machine, as in :class:`gilprobe.measuring.measure.Settings`."""

    @property
    def clock(self) -> Callable[[], int]:
        """Return the clock that times, nanoseconds."""

    @property
    def wall(self) -> Callable[[], int]:
        """Return the time of day, nanoseconds."""

    @property
    def cpu_times(self) -> Callable[[], CpuTimes | None]:
        """As :func:`gilprobe.measuring.host.cpu_times`."""

    @property
    def load_average(self) -> Callable[[], float | None]:
        """As :func:`gilprobe.measuring.host.load_average`."""


class Surroundings:
    """The machine at the beginning of a measurement, to be compared with its end."""

    def __init__(self, instruments: Instruments) -> None:
        self._instruments = instruments
        self._load = instruments.load_average()
        self._times = instruments.cpu_times()
        self._clock_ns = instruments.clock()
        self._wall_ns = instruments.wall()

    def doubts(self) -> Iterator[str]:
        """Yield doubts from what has happened since."""
        elapsed_ns = self._instruments.clock() - self._clock_ns
        wall_ns = self._instruments.wall() - self._wall_ns
        if abs(elapsed_ns - wall_ns) > 0.01 * elapsed_ns + 20e6:
            yield (
                f"clock: {elapsed_ns / 1e9:.2f} s by the clock were {wall_ns / 1e9:.2f} s by the time of day "
                "(clock changed, or machine suspended)"
            )
        times = self._instruments.cpu_times()
        if self._times is None or times is None or times.total_s <= self._times.total_s:
            yield from self._load_doubt()
        else:
            yield from _time_doubts(self._times, times)

    def _load_doubt(self) -> Iterator[str]:
        if self._load is not None and self._load > 0.5:
            yield f"other load: the load average was {self._load:.2f} before the measurement"


def _time_doubts(before: CpuTimes, after: CpuTimes) -> Iterator[str]:
    total_s = after.total_s - before.total_s
    own_s = after.own_s - before.own_s
    other = (after.busy_s - before.busy_s - own_s) / total_s
    steal = (after.steal_s - before.steal_s) / total_s
    if total_s < 1.0:  # /proc/stat counts in hundredths of a second
        return
    if other > _OTHER_LOAD_LIMIT:
        yield f"other load: other processes used {other:.0%} of the usable cores' time (limit 5%)"
    if steal > _STEAL_LIMIT:
        yield f"steal: the hypervisor took {steal:.0%} of the usable cores' time (limit 1%)"
