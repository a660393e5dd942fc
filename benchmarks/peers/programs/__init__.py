"""The workloads: what runs in a process of its own, and knows what is true of it."""
