"""gilprobe beside the tools that a user would otherwise pick: the same workloads, one run."""
