"""Text for a terminal or a pipe: traces, audits, leaks, and results side by side.

Lines and tables are put on a page of `shared`; what they are made of is never computed here.
"""
