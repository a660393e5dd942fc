"""What workers take in memory, by the proportional set size: a page that several share counts in parts."""

from __future__ import annotations

from pathlib import Path

_ROOT = Path("/")


def proportional_bytes(pid: int | None = None, root: Path = _ROOT) -> int | None:
    """Return the proportional set size of a process (PSS, proc_pid_smaps(5)), bytes; None if unknown."""
    try:
        text = (root / "proc" / str(pid or "self") / "smaps_rollup").read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError):
        return None
    for line in text.splitlines():
        words = line.split()
        if words[:1] == ["Pss:"] and words[2:] == ["kB"]:
            return int(words[1]) * 1024
    return None
