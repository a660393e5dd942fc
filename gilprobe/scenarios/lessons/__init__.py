"""Lessons: how threads, locks, pools and timers behave, in short programs for the course.

A lesson is one module with one scenario, on top of `support`. Comparisons of the GIL's cost are in
`contention`.
"""
