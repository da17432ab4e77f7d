"""The consumers: what takes runs from a pool and executes them.

An agent or a worker is a process which parks on its pool, claims runs, starts each in an
infrastructure (`agent/infrastructure/`), renews their leases and writes how they ended.

Nothing here decides about limits, priorities or states: the scripts behind `dispatcher.ops` do.
Nothing here prints or parses a command line: `cli/agent.py` and `cli/worker.py` do.
Import the modules themselves; this file stays empty so that the child process starts fast.
"""
