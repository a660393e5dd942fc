"""Work in other processes: how a process group is started, talked to, watched and ended, once for all who do.

Nothing here knows a scenario, an engine or an audit: what a worker is to do is named ``"module:function"``.
"""
