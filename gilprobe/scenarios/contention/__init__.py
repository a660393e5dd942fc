"""Contention: what threads cost each other, through the GIL, cores and memory; and what other engines cost.

A scenario is one module. Those about reference counts are in `reference_counts`, common parts in `support`.
"""
