"""Run work in other processes: start a process group, talk to it, watch it and end it.

It knows no scenarios, engines or audits: a worker's task is named ``"module:function"``.
"""
