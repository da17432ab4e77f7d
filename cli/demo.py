"""`dispatcher demo`: a pool, three queues and thirty runs of real flows, on a broker that is gone afterwards.

Here is the command alone. The order of events is in `demo_play.py`, the place where it happens in `demo_stage.py`,
what is seen in `demo_show.py`; the judge, who looks at nothing but the event stream, is `demo_replay.py`.
"""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from types import FrameType

GO_ON = """
Your own flows, in two terminals (without a Redis URL a local broker is started by itself):

  dispatcher work-pool create mine --type process --limit 5
  dispatcher deploy flows.py:my_flow --pool mine
  dispatcher worker start --pool mine

  dispatcher deployment run my-flow/default --watch
  dispatcher flow-run ls
  dispatcher flow-run why NAME
"""


@click.command()
def demo() -> None:
    """Play through everything once: pool, queues, limits, a worker, thirty runs. Takes some ten seconds.

    It runs on an embedded broker of its own, in a temporary folder, and leaves nothing behind. The exit code is 0
    only if every run ended as it should and no limit was exceeded.

    \b
    Example:
      dispatcher demo
    """
    from rich.console import Console

    from cli.demo_play import play

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    if not play(Console()):
        raise click.exceptions.Exit(1)
    click.echo(GO_ON)


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
