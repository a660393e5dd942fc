"""Threads with different parts to play: a producer and a consumer, those who meet at a barrier."""

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
"""How long a part waits for another before it gives up. They need milliseconds."""

Role = Callable[[], object]


def act(roles: Sequence[Role]) -> TeamRun:
    """Run each role in a thread of its own; they start together, as a team does.

    Raises
    ------
    BaseException
        The first that a role raised. Each role must end by itself, whatever the others do: what it waits
        for has a time-out.
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
    """Go on if a wait with a time-out was successful.

    Raises
    ------
    TimeLimitError
        If it was given up.
    """
    if not done:
        raise TimeLimitError(f"{what} must come within {PATIENCE_S:g} s, and did not")
