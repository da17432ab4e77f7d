"""Where a run executes: one file an execution environment.

`base.py` is the protocol (prepare, start, wait, stop); every other file is one kind of
infrastructure and implements it. Nothing here speaks to Redis: an infrastructure is told what to
execute and tells how it ended. A new kind is a new file and a line in the table of worker types.
"""
