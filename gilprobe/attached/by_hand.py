"""Begin or end a recording: the signal of :func:`gilprobe.arm` came by hand.

The agent runs this text in names that belong to no module, as it does with that of
:mod:`gilprobe.attached.bootstrap`.
"""

from __future__ import annotations

if __name__ == "builtins":
    try:
        from gilprobe.attached import dormant
        from gilprobe.attached.main_thread import import_threading

        import_threading()
        dormant.begin_or_end()
    except BaseException:  # noqa: S110  # the process goes on without
        pass
