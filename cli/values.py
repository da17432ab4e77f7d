"""What `--param`, `--params` and `--job-variable` say: the options, how their words are read, and what they mean.

A value on the command line is text. What it means follows from who takes it: the flow's signature for a parameter, the
pool's base job template for a job variable. So it is read in two steps: first the words, which are wrong usage when
they cannot be read (exit 2), then `typed`, when it is known what they are for.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from dispatcher.models import PoolTemplate

Command = TypeVar("Command", bound=Callable[..., Any])
Pairs = tuple[tuple[str, str], ...]


def parameter_options(*short: str) -> Callable[[Command], Command]:
    """`--param k=v` (repeat) and `--params JSON`; the command gets `params` and `params_json`, for `parameters_of`."""

    def decorate(command: Command) -> Command:
        command = click.option(
            "--params",
            "params_json",
            metavar="JSON",
            help="All parameters as one JSON object; - reads it from standard input.",
        )(command)
        return click.option(
            *short,
            "--param",
            "params",
            metavar="KEY=VALUE",
            multiple=True,
            help="One parameter, repeatable. The value is JSON (5, true, [1,2]), or else text.",
        )(command)

    return decorate


def variable_option(command: Command) -> Command:
    """`-jv/--job-variable k=v` (repeat); the command gets `variables`, for `variables_of`."""
    return click.option(
        "-jv",
        "--job-variable",
        "variables",
        metavar="KEY=VALUE",
        multiple=True,
        help="One job variable of the pool's base job template, repeatable; the template says its type.",
    )(command)


@dataclass(frozen=True, slots=True)
class Parameters:
    """`whole`: of `--params`; `single`: of each `--param`, which wins."""

    whole: dict[str, Any] = field(default_factory=dict)
    single: Pairs = ()

    def typed(self, schema: dict[str, Any] | None) -> dict[str, Any]:
        """The values by name. `schema`: of the flow's parameters, None: not known. Whether they fit is not checked."""
        return self.whole | {name: _parameter(schema, name, text) for name, text in self.single}


@dataclass(frozen=True, slots=True)
class Variables:
    single: Pairs = ()

    def typed(self, template: PoolTemplate, infrastructure: str) -> dict[str, Any]:
        """The values by name, `env` merged key by key. Raises `VariablesInvalid` with everything that is wrong."""
        from dispatcher import templates
        from dispatcher.errors import VariablesInvalid

        if not self.single:
            return {}
        found: dict[str, Any] = {}
        faults: dict[str, None] = {}  # the same words once
        document = template.document(infrastructure)
        for name, text in self.single:
            try:
                found = templates.merged(found, {name: templates.typed(document, name, text)})
            except VariablesInvalid as error:
                faults[str(error.facts["detail"])] = None
        if faults:
            raise VariablesInvalid(
                target=f"the base job template of work pool {template.pool!r}", detail=" ".join(faults)
            )
        return found


def parameters_of(params: tuple[str, ...], params_json: str | None) -> Parameters:
    """Raises `click.BadParameter`."""
    single = _pairs(params, "--param")
    if params_json is None:
        return Parameters(single=single)
    text = sys.stdin.read() if params_json == "-" else params_json
    try:
        whole: object = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise click.BadParameter(f"not JSON: {error}", param_hint="'--params'") from None
    if not isinstance(whole, dict):
        raise click.BadParameter("""an object is wanted, such as '{"day": "today"}'""", param_hint="'--params'")
    return Parameters(whole, single)


def variables_of(texts: tuple[str, ...]) -> Variables:
    """Raises `click.BadParameter`."""
    return Variables(_pairs(texts, "--job-variable"))


def _pairs(texts: tuple[str, ...], option: str) -> Pairs:
    found = []
    for text in texts:
        key, equals, value = text.partition("=")
        if not key or not equals:
            raise click.BadParameter(f"{text!r} is not KEY=VALUE", param_hint=f"'{option}'")
        found.append((key, value))
    return tuple(found)


def _parameter(schema: dict[str, Any] | None, name: str, text: str) -> Any:
    """JSON, or else text; what is JSON but no text stays text where the flow takes nothing else."""
    from dispatcher import parameters

    try:
        value = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        return text
    return value if isinstance(value, str) else parameters.typed(schema, name, text)


def _refuse_constant(word: str) -> None:
    raise ValueError(f"{word} is not JSON")
