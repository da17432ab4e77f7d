"""What consumers and schedulers do for a pool besides taking runs: one duty a file, each a Flow.

Scripts hand duties out (`lua/_duty.lua`) and take them back when they are done; whoever dies with one in hand delays it
by five seconds.
"""
