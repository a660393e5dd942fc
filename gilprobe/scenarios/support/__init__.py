"""Common parts of scenarios: cells, roles, costs, a server and its client, calls of the library.

It contains no scenarios, and depends on none.
"""
