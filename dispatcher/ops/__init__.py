"""The operations, one module a noun: functions that return a `Call` or a `Flow`.

A `Call` is one round trip as a value, a `Flow` is a generator of several; no function here does
any I/O. The drivers (`dispatcher.client`, `dispatcher.aio`) send them, so that each operation is
written once for the sync client, the async client, the CLI and the consumers.

Import the module of the noun (`from dispatcher.ops import pools`); this file stays empty.
"""
