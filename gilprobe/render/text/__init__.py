"""Text for a terminal or a pipe: traces, audits, leaks, and results side by side.

It puts lines and tables on a page of `shared`, and computes no numbers.
"""
