"""Work of a known kind and amount, run with the GIL held or released.

Both run the same machine code; the released one is only enclosed by a release and a reacquisition of the GIL.
On a free-threaded interpreter the thread is detached and attached instead.

Ctrl-C ends a long kernel in any thread, held or released, with :exc:`KeyboardInterrupt`; if the program's own
SIGINT handler does not raise, the kernel continues. A kernel of less than 20 ms finishes first.

This module works in every interpreter of a process, also in those with their own GIL (3.12 and later). Signal
handlers belong to the main interpreter: in another one, any SIGINT that the program handles ends a kernel
with :exc:`KeyboardInterrupt`.
"""

from __future__ import annotations

import operator
import sys
from array import array
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, SupportsIndex

from gilprobe._native import kernels as _native
from gilprobe.errors import InvalidTypeError, InvalidValueError

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

__all__ = [
    "Alternation",
    "Counter",
    "alternate",
    "chain",
    "chase",
    "cycle",
    "grain",
    "refer",
    "sleep",
    "spin",
    "stream",
]

_LARGEST = 2**63 - 1
_WORD = 8
_STRIDE = 128  # from one padded slot of a counter to the next, bytes
_NATIVE_ORDER = "<" if sys.byteorder == "little" else ">"
_INTEGER_CODES = frozenset("QqLlNnP")


@dataclass(frozen=True, slots=True)
class Alternation:
    """How one :func:`alternate` spent its time, by its own clock.

    Every interval ends where the next begins: the four add up to the whole time.

    Attributes
    ----------
    held_ns : int
        With the GIL, until just before its release.
    release_ns : int
        Inside the release. It blocks if another thread had asked for the GIL: CPython then waits until that
        thread has it.
    released_ns : int
        Without the GIL, until just before the request.
    reacquire_ns : int
        From the request to the acquisition.
    """

    held_ns: int
    release_ns: int
    released_ns: int
    reacquire_ns: int


def spin(iterations: SupportsIndex, release_gil: bool = False) -> int:
    """Do integer arithmetic in registers; each iteration needs the one before.

    Parameters
    ----------
    iterations : int
        Number of iterations; one takes some 2 ns.
    release_gil : bool
        Whether to run without the GIL.

    Returns
    -------
    int
        A checksum that depends only on `iterations`. The arithmetic is the generator of [1]_.

    Raises
    ------
    InvalidTypeError, InvalidValueError
        If `iterations` is not an integer from 0 to 2**63 - 1.

    References
    ----------
    .. [1] G. Marsaglia, "Xorshift RNGs", Journal of Statistical Software 8 (14), 2003.
    """
    return _native.spin(_integer("iterations", iterations), _flag("release_gil", release_gil))


def stream(buffer: ReadableBuffer, passes: SupportsIndex = 1, release_gil: bool = False) -> int:
    """Read a whole buffer: measures memory bandwidth if it is larger than the caches.

    Parameters
    ----------
    buffer : bytes-like
        Contiguous, not empty, of any item type. It is only read; writes of other threads meanwhile may or may
        not be in the sum.
    passes : int
        How often to read all of it.
    release_gil : bool
        Whether to run without the GIL.

    Returns
    -------
    int
        The sum of its 64-bit words over all passes, modulo 2**64: in native byte order, the last word filled
        up with zero bytes.

    Raises
    ------
    InvalidTypeError, InvalidValueError
        If `buffer` is not such a buffer, or `passes` not an integer from 1 on, or their product exceeds 2**63
        - 1.
    """
    passes = _integer("passes", passes, least=1)
    _flag("release_gil", release_gil)
    with _view("buffer", buffer) as view:
        _check_total("passes * bytes of buffer", passes * view.nbytes)
        return _native.stream(view, passes, release_gil)


def chain(nodes: SupportsIndex, seed: SupportsIndex = 1) -> array[int]:
    """Make a chain for :func:`chase`: one random cycle through all its nodes.

    The cycle is Sattolo's [1]_, so a chase meets each node once in `nodes` steps, in an order that no
    prefetcher guesses. The GIL is released meanwhile.

    Parameters
    ----------
    nodes : int
        Length of the chain; each node takes 8 bytes.
    seed : int
        Chooses the cycle. The same seed gives the same chain.

    Returns
    -------
    array.array
        `nodes` unsigned 64-bit integers: at each index the next one.

    Raises
    ------
    InvalidTypeError, InvalidValueError
        If `nodes` is not an integer from 1 on whose bytes can be counted, or `seed` not one from 0 to 2**63 -
        1.
    MemoryError
        If there is no room.

    References
    ----------
    .. [1] S. Sattolo, "An algorithm to generate a random cyclic permutation", Information Processing Letters
       22 (6), 1986.
    """
    length = _integer("nodes", nodes, least=1)
    _check_total("nodes * 8 bytes", length * _WORD)
    seed = _integer("seed", seed)
    room = array("Q", (0,)) * length
    _native.fill_chain(room, seed)
    return room


def chase(chain: ReadableBuffer, steps: SupportsIndex, release_gil: bool = False) -> int:
    """Follow a chain of indices from index 0: measures memory latency, since each load needs the one before.

    Parameters
    ----------
    chain : bytes-like
        Contiguous 64-bit integers, each the index of another, as :func:`chain` makes them. All are checked
        before the first step.
    steps : int
        How many to follow.
    release_gil : bool
        Whether to run without the GIL.

    Returns
    -------
    int
        The index at which the last step ended.

    Raises
    ------
    InvalidTypeError, InvalidValueError
        If `chain` is not such a buffer, is empty or has an index out of range (also if another thread writes
        one meanwhile), or `steps` is not an integer from 0 to 2**63 - 1.
    """
    steps = _integer("steps", steps)
    _flag("release_gil", release_gil)
    with _view("chain", chain) as view:
        _check_items("chain", view)
        try:
            return _native.chase(view, steps, release_gil)
        except IndexError as error:
            nodes = view.nbytes // _WORD
            raise InvalidValueError(
                f"chain must have indices from 0 to {nodes - 1} only, got another at {error}"
            ) from None


def sleep(duration_ns: SupportsIndex, release_gil: bool = False) -> None:
    """Block without using the processor.

    Parameters
    ----------
    duration_ns : int
        How long, nanoseconds.
    release_gil : bool
        Whether to release the GIL meanwhile. If not, no other thread runs Python.

    Raises
    ------
    InvalidTypeError, InvalidValueError
        If `duration_ns` is not an integer from 0 to 2**63 - 1.
    """
    _native.sleep(_integer("duration_ns", duration_ns), _flag("release_gil", release_gil))


def alternate(
    cycles: SupportsIndex,
    *,
    held_ns: SupportsIndex,
    released_ns: SupportsIndex,
    release_gil: bool = True,
) -> Alternation:
    """Keep the processor busy, alternately with the GIL and without: ground truth for a tracer.

    Its clock is CLOCK_MONOTONIC, read through clock_gettime and never shared with the tracer.

    Parameters
    ----------
    cycles : int
        How many turns.
    held_ns, released_ns : int
        Duration of each phase, nanoseconds; with 0 there is only a release and a reacquisition.
    release_gil : bool
        If false, the GIL is never released: the second phase runs held too and counts as held, the other sums
        are 0.

    Returns
    -------
    Alternation
        The times, summed over the cycles. Time in a SIGINT handler counts as held.

    Raises
    ------
    InvalidTypeError, InvalidValueError
        If `cycles` is not an integer from 1 on, a duration not one from 0 on, or all phases together exceed
        2**63 - 1 ns.
    """
    cycles = _integer("cycles", cycles, least=1)
    held_ns = _integer("held_ns", held_ns)
    released_ns = _integer("released_ns", released_ns)
    _check_total("cycles * (held_ns + released_ns)", cycles * (held_ns + released_ns))
    spent = _native.alternate(cycles, held_ns, released_ns, _flag("release_gil", release_gil))
    return Alternation(*spent)


def cycle(count: SupportsIndex) -> int:
    """Release and reacquire the GIL repeatedly, with nothing in between, to measure the cost.

    Parameters
    ----------
    count : int
        How often.

    Returns
    -------
    int
        Nanoseconds from before the first release to after the last acquisition, by CLOCK_MONOTONIC, including
        SIGINT handlers. The clock is read only at both ends.

    Raises
    ------
    InvalidTypeError, InvalidValueError
        If `count` is not an integer from 0 to 2**63 - 1.
    """
    return _native.cycle(_integer("count", count))


def grain(iterations: SupportsIndex, every: SupportsIndex, release_gil: bool = True) -> int:
    """Do the arithmetic of :func:`spin` without the GIL, but reacquire it regularly.

    Parameters
    ----------
    iterations : int
        Number of iterations; one takes some 2 ns.
    every : int
        Iterations between two acquisitions of the GIL, which is released again at once.
    release_gil : bool
        If false, the GIL is held throughout, and `every` makes no difference.

    Returns
    -------
    int
        The checksum of :func:`spin` for as many iterations.

    Raises
    ------
    InvalidTypeError, InvalidValueError
        If `iterations` is not an integer from 0 to 2**63 - 1, or `every` not one from 1 on.
    """
    iterations = _integer("iterations", iterations)
    every = _integer("every", every, least=1)
    return _native.grain(iterations, every, _flag("release_gil", release_gil))


def refer(obj: object, times: SupportsIndex) -> None:
    """Take and drop a reference to an object repeatedly, to measure the cost of counting.

    It is the interpreter's own counting, compiled. The GIL is held, since it protects the counts; on a
    free-threaded interpreter the threads run in parallel, and contend for an object's count.

    Parameters
    ----------
    obj : object
        Any object; its count is unchanged afterwards.
    times : int
        How often.

    Raises
    ------
    InvalidTypeError, InvalidValueError
        If `times` is not an integer from 0 to 2**63 - 1.
    """
    _native.refer(obj, _integer("times", times))


class Counter:
    """A counter on which threads race: private memory, so a lost update does no harm.

    Parameters
    ----------
    slots : int
        Number of slots. Each has its own cache line, so threads on different slots don't contend.
    padded : bool
        If false, the slots lie side by side, eight on a cache line of 64 bytes: threads on different slots
        then wait for each other's writes (false sharing).

    Raises
    ------
    InvalidTypeError, InvalidValueError
        If `slots` is not an integer from 1 on whose bytes can be counted, or `padded` is not a bool.
    MemoryError
        If there is no room.
    """

    __slots__ = ("_cells",)

    def __init__(self, slots: SupportsIndex = 1, *, padded: bool = True) -> None:
        count = _integer("slots", slots, least=1)
        size = _STRIDE if _flag("padded", padded) else _WORD
        _check_total(f"slots * {size} bytes", count * size)
        self._cells = _native.Counter(count, padded)

    def bump(
        self,
        times: SupportsIndex,
        *,
        how: Literal["plain", "atomic"],
        slot: SupportsIndex = 0,
        release_gil: bool = False,
    ) -> None:
        """Add 1 to one slot, over and over.

        Parameters
        ----------
        times : int
            How often.
        how : str
            ``"plain"``: load, add, store, as an unprotected reference count; what another thread stores in
            between is lost. ``"atomic"``: one instruction, nothing is lost.
        slot : int
            Index of the slot.
        release_gil : bool
            Whether to run without the GIL. With it nothing is lost either way.

        Raises
        ------
        InvalidTypeError, InvalidValueError
            If `times` is not an integer from 0 to 2**63 - 1, there is no such slot, or `how` is neither.
        """
        times = _integer("times", times)
        if how not in ("plain", "atomic"):
            kind = InvalidValueError if isinstance(how, str) else InvalidTypeError
            raise kind(f"how must be 'plain' or 'atomic', got {_shown(how)}")
        slot = _integer("slot", slot)
        _flag("release_gil", release_gil)
        try:
            self._cells.bump(times, how == "atomic", slot, release_gil)
        except IndexError:
            raise InvalidValueError(f"slot must be < {len(self.values)}, got {slot}") from None

    @property
    def values(self) -> tuple[int, ...]:
        """Current values of the slots; exact once the counting threads have ended."""
        return self._cells.values()

    @property
    def value(self) -> int:
        """Sum of all slots."""
        return sum(self.values)


def _integer(name: str, value: SupportsIndex, least: int = 0) -> int:
    # bool has __index__, but as an amount it is a mistake
    if isinstance(value, bool) or not hasattr(type(value), "__index__"):
        raise InvalidTypeError(f"{name} must be an integer, got {_shown(value)}")
    number = operator.index(value)
    if number < least:
        raise InvalidValueError(f"{name} must be >= {least}, got {_shown(number)}")
    if number > _LARGEST:
        raise InvalidValueError(f"{name} must be <= 2**63 - 1, got {_shown(number)}")
    return number


def _flag(name: str, value: bool) -> bool:
    if not isinstance(value, bool):
        raise InvalidTypeError(f"{name} must be True or False, got {_shown(value)}")
    return value


def _check_total(what: str, total: int) -> None:
    if total > _LARGEST:
        raise InvalidValueError(f"{what} must be <= 2**63 - 1, got {_shown(total)}")


def _view(name: str, buffer: ReadableBuffer) -> memoryview:
    try:
        view = memoryview(buffer)
    except TypeError:
        raise InvalidTypeError(
            f"{name} must support the buffer protocol, got {type(buffer).__name__}"
        ) from None
    if not view.c_contiguous:
        raise InvalidValueError(f"{name} must be contiguous, got strides {view.strides}")
    if view.nbytes == 0:
        raise InvalidValueError(f"{name} must not be empty, got 0 bytes")
    return view


def _check_items(name: str, view: memoryview) -> None:
    code = view.format[1:] if view.format[:1] in ("@", "=", _NATIVE_ORDER) else view.format
    if view.itemsize != _WORD or code not in _INTEGER_CODES:
        raise InvalidTypeError(
            f"{name} must have 64-bit integer items, got {view.itemsize} bytes of format {view.format!r}"
        )


def _shown(value: object) -> str:
    if isinstance(value, int) and value.bit_length() > 256:
        # printing long integers may be refused (sys.set_int_max_str_digits)
        return f"an integer of {value.bit_length()} bits"
    return ascii(value)[:80]
