"""Contention: what threads cost each other, by the GIL, by cores, by memory; and what other engines cost.

A scenario is one module. What counts references is in `reference_counts`; what several need, in `support`.
"""
