"""gilprobe and the tools that a user could use instead, under the same workloads in one run."""
