"""Run threads with different roles: a producer and a consumer, members at a barrier."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from gilprobe.errors import TimeLimitError
from gilprobe.measuring.teams import ArmPlan, run_team

if TYPE_CHECKING:
    from gilprobe.measuring.teams import TeamRun

PATIENCE_S = 10.0
"""Time limit of a role that waits for another. They need milliseconds."""

Role = Callable[[], object]


def act(roles: Sequence[Role]) -> TeamRun:
    """Run each role in its own thread; they start together, as a team does.

    Raises
    ------
    BaseException
        The first that a role raised. Each role must end by itself, whatever the others do: its waits need
        time-outs.
    """
    left = deque(roles)

    def play(_operations: int) -> None:
        left.popleft()()

    return run_team(ArmPlan("roles", len(left), play), 1)


def named(name: str, role: Role) -> Role:
    """Return the role with a name for its thread, which a trace shows."""

    def play() -> None:
        threading.current_thread().name = name
        role()

    return play


def patient(done: bool, what: str) -> None:
    """Check that a wait with a time-out was successful.

    Raises
    ------
    TimeLimitError
        If it timed out.
    """
    if not done:
        raise TimeLimitError(f"{what} must come within {PATIENCE_S:g} s, it did not")
