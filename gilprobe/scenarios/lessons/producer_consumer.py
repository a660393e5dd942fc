"""One thread passes messages to another: through one slot with two locks, through Events, through a queue.

One slot makes the threads take turns: nothing can be put before the last message was taken, so every message
costs two changes of threads, with handoffs of the GIL. A larger queue lets the producer run ahead and the
consumer catch up: they change at the end of a switch interval or when the queue is full or empty, and most
messages cost no change at all. ``queue.SimpleQueue`` is the same written in C.

The trace counts the changes: how often the two took the GIL for each message.
"""

from __future__ import annotations

import math
import queue
import threading
import time
from typing import TYPE_CHECKING, Protocol

from gilprobe.measuring.measure import Trial
from gilprobe.model.confidence import ratio_interval
from gilprobe.results import Fact, Law
from gilprobe.scenarios.laws import TIMES, claim, every_law, untestable, verdict, within_law
from gilprobe.scenarios.scenario import Findings, Request, Scenario, observe_trials
from gilprobe.scenarios.support.cells import Cell, run_cell
from gilprobe.scenarios.support.roles import PATIENCE_S, act, named, patient

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from gilprobe.results import Arm, TracedArm
    from gilprobe.scenarios.scenario import Observation

CELL = """\
import threading

class Pipeline:
    def __init__(self):
        self.message = None
        self.producer_lock = threading.Lock()
        self.consumer_lock = threading.Lock()
        self.consumer_lock.acquire()

    def put(self, message):
        self.producer_lock.acquire()
        self.message = message
        self.consumer_lock.release()

    def get(self):
        self.consumer_lock.acquire()
        message = self.message
        self.producer_lock.release()
        return message

def producer(pipeline):
    for message in range(MESSAGES):
        print("Producer: puts message " + str(message) + ".")
        pipeline.put(message)

def consumer(pipeline):
    for _ in range(MESSAGES):
        message = pipeline.get()
        print("Consumer: got message " + str(message) + ".")

if __name__ == "__main__":
    pipeline = Pipeline()
    threads = [threading.Thread(target=part, args=(pipeline,)) for part in (producer, consumer)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print("Main    : all done.")
"""

ROOM = 1000
"""Slots of the larger queue: as many as a producer fills within some switch intervals."""

ONE_SLOT_SWITCHES = 1.9
"""With one slot, both threads wait and take the GIL again for each message: 2, less forced releases."""


class Channel(Protocol):
    """A channel for messages."""

    def put(self, message: int) -> None:
        """Put a message; waits for room."""

    def get(self) -> int:
        """Take the next message; waits for it."""


class OneSlot:
    """A slot with two locks: one means empty, one means full."""

    def __init__(self) -> None:
        self._message = 0
        self._empty = threading.Lock()
        self._full = threading.Lock()
        self._full.acquire()

    def put(self, message: int) -> None:
        """Put a message."""
        patient(self._empty.acquire(timeout=PATIENCE_S), "an empty slot")
        self._message = message
        self._full.release()

    def get(self) -> int:
        """Take the message."""
        patient(self._full.acquire(timeout=PATIENCE_S), "a message")
        message = self._message
        self._empty.release()
        return message


class EventSlot:
    """A slot with two Events, each set by one thread and cleared by the other."""

    def __init__(self) -> None:
        self._message = 0
        self._empty = threading.Event()
        self._full = threading.Event()
        self._empty.set()

    def put(self, message: int) -> None:
        """Put a message."""
        patient(self._empty.wait(PATIENCE_S), "an empty slot")
        self._empty.clear()
        self._message = message
        self._full.set()

    def get(self) -> int:
        """Take the message."""
        patient(self._full.wait(PATIENCE_S), "a message")
        self._full.clear()
        message = self._message
        self._empty.set()
        return message


class Queued:
    """A queue of the standard library."""

    def __init__(self, messages: queue.Queue[int] | queue.SimpleQueue[int]) -> None:
        self._messages = messages

    def put(self, message: int) -> None:
        """Put a message."""
        self._messages.put(message, timeout=PATIENCE_S)

    def get(self) -> int:
        """Take the next message."""
        return self._messages.get(timeout=PATIENCE_S)


CHANNELS: dict[str, Callable[[], Channel]] = {
    "one slot, two locks": OneSlot,
    "one slot, two events": EventSlot,
    "queue.Queue, 1 slot": lambda: Queued(queue.Queue(1)),
    f"queue.Queue, {ROOM} slots": lambda: Queued(queue.Queue(ROOM)),
    "queue.SimpleQueue": lambda: Queued(queue.SimpleQueue()),
}

ONE_SLOT = ("one slot, two locks", "one slot, two events", "queue.Queue, 1 slot")
WITH_ROOM = f"queue.Queue, {ROOM} slots"
QUICK = ("one slot, two locks", "queue.Queue, 1 slot", WITH_ROOM)


class Exchange:
    """Messages sent for a while, and their arrival; a run of the arm `name`."""

    def __init__(self, name: str, duration_ns: int) -> None:
        self._make = CHANNELS[name]
        self._duration_ns = duration_ns
        self.sent = 0
        self.received: list[int] = []
        self.right: list[bool] = []

    def run(self) -> Mapping[str, float]:
        """Send messages for the duration; return messages a second."""
        channel, self.sent, self.received = self._make(), 0, []
        team = act(
            [
                named("producer", lambda: self._produce(channel)),
                named("consumer", lambda: self._consume(channel)),
            ]
        )
        self.right.append(self.received == list(range(self.sent)))
        return {"": self.sent / (team.elapsed_ns / 1e9)}

    def _produce(self, channel: Channel) -> None:
        end_ns = time.perf_counter_ns() + self._duration_ns
        try:
            while time.perf_counter_ns() < end_ns:
                channel.put(self.sent)
                self.sent += 1
        finally:
            channel.put(-1)

    def _consume(self, channel: Channel) -> None:
        while (message := channel.get()) >= 0:
            self.received.append(message)


def measure(request: Request) -> Findings:
    """Measure messages a second through each kind of channel."""
    names = QUICK if request.quick else tuple(CHANNELS)
    exchanges = {name: Exchange(name, request.frame.arm_ns) for name in names}
    seen = observe_trials(
        request, [Trial(name, 2, {"": "messages/s"}, exchange.run) for name, exchange in exchanges.items()]
    )
    arms = {arm.name: arm for arm in seen.measurement.arms}
    sent = {name: exchange.sent for name, exchange in exchanges.items()}  # by the last run, the traced one
    right = [whole for exchange in exchanges.values() for whole in exchange.right]
    laws = [
        every_law("every message arrives, once and in order", sum(right), len(right)),
        *_speed_laws(arms),
        *_switch_laws(seen, sent, request.trace_reason),
    ]
    facts = (*_facts(arms), *_traced_facts(seen.traces, sent))
    printed = run_cell(Cell(CELL, {"MESSAGES": 3})).text
    return Findings(seen.measurement.arms, facts, tuple(laws), seen.traces, seen.warnings, printed)


def _facts(arms: Mapping[str, Arm]) -> Iterator[Fact]:
    for name, arm in arms.items():
        yield Fact(f"per_message_{_key(name)}", 1 / arm.median, "s")


def _traced_facts(traces: tuple[TracedArm, ...], sent: Mapping[str, int]) -> Iterator[Fact]:
    for traced in traces:
        messages = max(sent[traced.name], 1)
        accounts = [account for account in traced.report.threads if account.name in ("producer", "consumer")]
        acquisitions = sum(account.acquisitions for account in accounts)
        wait_s = sum(account.wait_s for account in accounts)
        yield Fact(f"acquisitions_per_message_{_key(traced.name)}", acquisitions / messages, "")
        yield Fact(f"wait_per_message_{_key(traced.name)}", wait_s / messages, "s")


def _key(name: str) -> str:
    return name.replace(",", "").replace(".", "_").replace(" ", "_")


def _speed_laws(arms: Mapping[str, Arm]) -> Iterator[Law]:
    yield within_law(
        "a queue with room passes more than one with a single slot",
        ratio_interval(arms[WITH_ROOM], arms["queue.Queue, 1 slot"]),
        1.0,
        math.inf,
        TIMES,
    )


def _switch_laws(seen: Observation, sent: Mapping[str, int], reason: str) -> Iterator[Law]:
    facts = {fact.name: fact.value for fact in _traced_facts(seen.traces, sent)}
    for name in sent:
        text, one = f"GIL taken for each message: {name}", name in ONE_SLOT
        expected = f"{'>=' if one else '<'} {ONE_SLOT_SWITCHES:g}"
        taken = facts.get(f"acquisitions_per_message_{_key(name)}")
        if taken is None:
            yield untestable(text, expected, reason or "no trace")
        else:
            low, high = (ONE_SLOT_SWITCHES, None) if one else (None, ONE_SLOT_SWITCHES)
            holds = verdict((taken >= ONE_SLOT_SWITCHES) == one)
            yield Law(text, expected, f"{taken:.2f}", holds, claim(taken, low, high, "", about=name))


SCENARIO = Scenario(
    id="producer-consumer",
    title="A producer and a consumer: one slot makes them take turns, a queue with room does not",
    group="lessons",
    measure=measure,
    ceiling_s=90.0,
)
