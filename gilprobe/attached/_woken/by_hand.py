"""Run by the agent when the signal of :func:`gilprobe.arm` was sent by hand, in names that belong to no module."""

try:
    from gilprobe.attached import dormant

    dormant.begin_or_end()
except BaseException:  # noqa: S110  # the process goes on without
    pass
