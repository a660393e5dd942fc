"""Run by the agent when somebody sent the signal of :func:`gilprobe.arm` by hand: in names of no module."""

try:
    from gilprobe.attached import dormant

    dormant.begin_or_end()
except BaseException:  # noqa: S110  # the process goes on without
    pass
