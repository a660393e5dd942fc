"""The workloads: programs that run in their own process and know the truth about themselves."""
