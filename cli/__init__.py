"""The command line: parse, make one call, print.

`main.py` holds the group, the global options and the table from error to exit code; each other
module is one noun of the product and is imported only when its command is used.

Nothing here knows a Redis key or a rule of the product, and no other package imports this one
(but `dispatcher/__main__.py`, which starts it).
"""
