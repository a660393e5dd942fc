"""What several scenarios are made of: cells, roles, costs, a server and its client, calls of the library.

No scenario stands here, and nothing here knows one.
"""
