"""The command `dispatcher`: the group, the global options, and the table from error to exit code.

A sub command's module is imported when the command is used: `COMMANDS` holds where each is and the
line that the list of commands shows, so that `dispatcher --help` imports nothing but click. A new
command is a line in that table and a module of its own.

`main` is the edge of the process: whatever a user or a network can cause ends as one message on
stderr and an exit code, never as a traceback. DISPATCHER_DEBUG=1 shows the traceback of a bug.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import Any, NamedTuple, NoReturn

import click

from dispatcher import __version__, errors


class Command(NamedTuple):
    """Where a sub command is, `module:object`, and what the list of commands says of it."""

    place: str
    summary: str


COMMANDS = {
    "work-pool": Command("cli.work_pool:work_pool", "Make, look at and change work pools."),
    "work-queue": Command("cli.work_queue:work_queue", "Make, look at and change the queues of a pool."),
    "deploy": Command("cli.deploy:deploy", "Deploy a flow: from a file, or from options."),
    "deployment": Command("cli.deployment:deployment", "Look at, run and delete deployments."),
    "run": Command("cli.run:run", "Run a flow or a command without a deployment."),
    "flow-run": Command("cli.flow_run:flow_run", "Look at runs, follow, cancel, retry and explain them."),
    "agent": Command("cli.agent:agent", "Start an agent, and list agents."),
    "worker": Command("cli.worker:worker", "Start a worker, and list workers."),
    "scheduler": Command("cli.scheduler:scheduler", "Make the runs of schedules without taking runs."),
    "events": Command("cli.events:events", "Follow what happens in the work pools."),
    "doctor": Command("cli.doctor:doctor", "Check broker, settings and every work pool."),
    "audit": Command("cli.audit:audit", "Look for faults in what is kept of a work pool."),
    "repair": Command("cli.audit:repair", "Mend the faults that an audit finds."),
    "broker": Command("cli.broker:broker", "Start, stop and look at the embedded broker."),
    "demo": Command("cli.demo:demo", "See it all work, on a broker of its own, in a minute."),
    "config": Command("cli.config:config", "Look at and change settings."),
    "profile": Command("cli.profile:profile", "Keep several sets of settings and switch between them."),
}

# The first class that fits decides; click's own exceptions carry their code (2 for wrong usage).
EXIT_CODES: tuple[tuple[type[BaseException], int], ...] = (
    (errors.BrokerFull, 1),  # it is there, and says no
    (errors.BrokerUnavailable, 3),
    (errors.BrokerRefused, 3),
    (errors.DispatcherError, 1),  # BadRequest: refused or not found; LostRace; BugFound asks for a report
    (OSError, 1),  # a file that cannot be read or written
)
INTERRUPTED = 130  # what shells report for a command that Ctrl-C ended
BROKEN_PIPE = 1  # the reader went away; click decides the same while a command writes


class LazyGroup(click.Group):
    """A group that imports a sub command only when it is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        command = COMMANDS.get(cmd_name)
        if command is None:
            return None
        module, _, name = command.place.partition(":")
        found: click.Command = getattr(import_module(module), name)
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, command.summary) for name, command in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--redis-url",
    metavar="URL",
    help="The Redis to work on: redis://, rediss:// or unix://. Without one in option, environment "
    "(DISPATCHER_REDIS_URL) or profile the embedded broker is used.",
)
@click.option("--profile", metavar="NAME", help="The profile whose settings apply (DISPATCHER_PROFILE).")
@click.option(
    "--allow-unsafe-broker",
    is_flag=True,
    default=None,
    help="Use a Redis that may evict keys, and so lose runs (DISPATCHER_ALLOW_UNSAFE_BROKER).",
)
@click.version_option(__version__, prog_name="dispatcher", message="%(prog)s %(version)s")
@click.pass_context
def dispatcher(
    ctx: click.Context, redis_url: str | None, profile: str | None, allow_unsafe_broker: bool | None
) -> None:
    """Route flow runs through work pools and work queues to agents and workers, on Redis.

    \b
    Example:
      dispatcher work-pool create above-ground --limit 5
      dispatcher agent start --pool above-ground
    """
    from cli.context import Session

    ctx.obj = Session(redis_url=redis_url, profile=profile, allow_unsafe_broker=allow_unsafe_broker)


def main() -> NoReturn:
    """Runs the command line; ends with SystemExit."""
    _open_what_is_closed()
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a C locale must not turn a run's name into a traceback
    try:
        code = dispatcher.main(prog_name="dispatcher", standalone_mode=False)
        sys.stdout.flush()
    except BrokenPipeError:
        _leave_quietly()
    except click.Abort as error:
        sys.exit(INTERRUPTED if isinstance(error.__cause__, KeyboardInterrupt) else 1)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except Exception as error:  # noqa: BLE001 - the edge of the process
        sys.exit(_told(error))
    sys.exit(code if isinstance(code, int) else 0)


def _open_what_is_closed() -> None:
    """Gives the process the standard streams that it was started without (`>&-`).

    Otherwise the next file or socket would take such a stream's place, and be what children print to. Whoever prints
    to a stdout that was closed finds a pipe without a reader.
    """
    for number, stream in enumerate((sys.stdin, sys.stdout, sys.stderr)):
        if stream is not None:
            continue
        if number == 1:
            reading, found = os.pipe()
            os.close(reading)
        else:
            found = os.open(os.devnull, os.O_RDWR)
        if found != number:
            os.dup2(found, number)
            os.close(found)
    sys.stdin = sys.stdin or os.fdopen(0, closefd=False)
    sys.stdout = sys.stdout or os.fdopen(1, "w", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", closefd=False)


def _leave_quietly() -> NoReturn:
    # Python flushes stdout once more at the end; that must not find the closed pipe again.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(BROKEN_PIPE)


def _told(error: Exception) -> int:
    """Says on stderr what went wrong; returns the exit code."""
    if isinstance(error, click.ClickException):
        error.show()
        return error.exit_code
    code = next((code for kind, code in EXIT_CODES if isinstance(error, kind)), None)
    if code is None:
        code, error = 1, _bug(error)
    if os.environ.get("DISPATCHER_DEBUG"):
        import traceback

        traceback.print_exception(error)
    click.echo("\n".join([f"Error: {_message(error)}", *getattr(error, "__notes__", ())]), err=True)
    return code


def _message(error: BaseException) -> str:
    home = os.environ.get("DISPATCHER_HOME")
    if isinstance(error, NotADirectoryError) and home and not os.path.isdir(home):  # noqa: PTH112 - pathlib would be an import of its own
        return f"DISPATCHER_HOME names {home}, which is not a folder: name a folder, or unset it."
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.strerror}: {os.fsdecode(error.filename)}"
    return str(error)


def _bug(error: Exception) -> errors.BugFound:
    trace: Any = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = f" ({trace.tb_frame.f_code.co_filename}:{trace.tb_lineno})" if trace else ""
    bug = errors.BugFound(f"{type(error).__name__}: {error}{place}. DISPATCHER_DEBUG=1 shows more.")
    bug.__cause__ = error
    return bug
