"""Measure workers' memory by the proportional set size, which divides shared pages."""

from __future__ import annotations

from pathlib import Path

_ROOT = Path("/")


def proportional_bytes(pid: int | None = None, root: Path = _ROOT) -> int | None:
    """Read a process's proportional set size (PSS, proc_pid_smaps(5)).

    Parameters
    ----------
    pid : int or None
        The process; default: this one.
    root : pathlib.Path
        Folder of ``proc``.

    Returns
    -------
    int or None
        Bytes; None if unknown.
    """
    try:
        text = (root / "proc" / str(pid or "self") / "smaps_rollup").read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError):
        return None
    for line in text.splitlines():
        words = line.split()
        if words[:1] == ["Pss:"] and words[2:] == ["kB"]:
            return int(words[1]) * 1024
    return None
