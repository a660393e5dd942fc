"""Lessons: how threads, locks, pools and timers behave, as short programs that the course shows.

A lesson is one module with one scenario, on top of `support`. What compares numbers of the GIL's cost is in
`contention`.
"""
