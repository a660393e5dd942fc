"""What workers take in memory, by the proportional set size: a page that several share counts in parts."""

from __future__ import annotations

from pathlib import Path

_ROOT = Path("/")


def proportional_bytes(pid: int | None = None, root: Path = _ROOT) -> int | None:
    """Read a process's proportional set size (PSS, proc_pid_smaps(5)).

    Parameters
    ----------
    pid : int or None
        The process; this one unless told.
    root : pathlib.Path
        Where ``proc`` is found.

    Returns
    -------
    int or None
        Bytes; None where the platform does not tell, or not of this process.
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
