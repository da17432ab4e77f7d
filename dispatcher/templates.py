"""Base job templates: what they may be, which variables fit them, and the job that comes of both. Pure, no I/O.

A template is `{}` or `{"job_configuration": ..., "variables": ...}`; `variables` is a JSON schema. In the texts of
`job_configuration`, at any depth but never in a key, stand placeholders. Filling them in goes once over the template
and never over what was filled in, so a value is data, whatever it looks like:

- `"{{ name }}"` alone is replaced by the value with its type; without a value its key or list item is dropped;
- `"a {{ name }} b"` takes the value as text: null or none is empty, booleans, numbers, lists and objects are JSON;
- `{{ $NAME }}` is the consumer's environment variable, if the consumer allows it; one that is not set is no value.

What is hard-coded in `job_configuration` belongs to whoever made the pool: no deployment changes it. That holds for
each key of a hard-coded `env` too, which the variable `env` can only add keys to. Every function returns fresh copies.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from dispatcher import schema_guard, schemas
from dispatcher.errors import TemplateInvalid, VariablesInvalid
from dispatcher.fault_words import at, kind, nearest, unknown, worded
from dispatcher.rendering import Rendered, copied, filled_in, is_malformed, placeholders

Document = dict[str, Any]
PARTS = ("job_configuration", "variables")
MOST_FAULTS = 50
_WORDS = (  # what a schema of variables is likely to say; a word near to one of these is a slip
    *("properties", "required", "definitions", "$defs", "additionalProperties", "patternProperties", "propertyNames"),
    *("type", "title", "description", "default", "examples", "$schema", "$id", "$comment", "allOf", "anyOf", "oneOf"),
    *("not", "if", "then", "else", "dependentRequired", "dependentSchemas", "minProperties", "maxProperties"),
)


def checked(template: object) -> Document:
    """A copy of the template. Raises `TemplateInvalid`, which names every fault with its path."""
    found = list(_faults(template))
    if found:
        more = f"; and {len(found) - MOST_FAULTS} more" if len(found) > MOST_FAULTS else ""
        raise TemplateInvalid(f"{'; '.join(found[:MOST_FAULTS])}{more}.")
    copy: Document = copied(template)
    return copy


def warnings(template: Mapping[str, Any]) -> list[str]:
    """What is allowed and probably a slip: variables that are used nowhere. The template is a checked one."""
    job = template.get("job_configuration") or {}
    used = {name for kind, name in placeholders(job) if kind == "name"}
    if isinstance(job.get("env"), dict):
        used.add("env")  # it is merged under the hard-coded one
    return [f"Variable {name!r} is used nowhere in job_configuration." for name in _known(template) if name not in used]


def merged(*levels: Mapping[str, Any]) -> Document:
    """One set of variables of several, the later ones before the earlier: whole values, but `env` key by key."""
    result: Document = {}
    for level in levels:
        for name, value in level.items():
            if name == "env" and isinstance(value, dict) and isinstance(result.get("env"), dict):
                result["env"].update(copied(value))
            else:
                result[name] = copied(value)
    return result


def check_variables(
    template: Mapping[str, Any], values: Mapping[str, Any], *, target: str, is_complete: bool = True
) -> None:
    """Raises `VariablesInvalid` with every fault. `target` says in words what the variables must fit.

    `is_complete` False: a run will add its own, so none that is required is missing yet.
    """
    if not isinstance(values, Mapping):
        raise VariablesInvalid(target=target, detail="they must be an object of names and values.")
    found = schemas.json_faults(values) or schemas.faults(
        template.get("variables") or {},
        merged(_defaults(template), values),
        is_complete=is_complete,
        formats="template",
    )
    if found:
        raise VariablesInvalid(target=target, detail=f"{'; '.join(found)}. {_told_names(template)}")


def typed(template: Mapping[str, Any], name: str, text: str) -> Any:
    """The value that `name=text` on a command line means, by the variable's type. Raises `VariablesInvalid`.

    Text stays text for a text variable. Every other type is read as JSON; one that may be several things takes what
    is no JSON that fits as text.
    """
    known, schema = _known(template), template.get("variables") or {}
    rule = known[name] if name in known else schema.get("additionalProperties", False)
    if rule is False and name not in known:
        raise VariablesInvalid(target="the template", detail=f"{unknown(name, known)}. {_told_names(template)}")
    value, found = schemas.typed(rule, text, root=schema, path=at("", name), formats="template")
    if found:
        kind = rule.get("type") if isinstance(rule, dict) else None
        advice = {"string": "", "boolean": " Write true or false."}.get(str(kind), " Values are written as JSON.")
        raise VariablesInvalid(target="the template", detail=f"{'; '.join(found)}.{advice}")
    return value


def rendered(
    template: Mapping[str, Any],
    values: Mapping[str, Any],
    *,
    environ: Mapping[str, str],
    allowed_env: Collection[str],
) -> Rendered:
    """The job of one run: the defaults, then `values`, filled into the template. Both were checked before.

    Raises `TemplateInvalid` when the template reads environment variables that are not in `allowed_env`, and for a
    template or values that cannot be filled in because nobody checked them.
    """
    try:
        job, level = template.get("job_configuration") or {}, merged(_defaults(template), values)
        asked = {name for kind, name in placeholders(job) if kind == "env"}
        if refused := sorted(asked.difference(allowed_env)):
            raise TemplateInvalid(
                f"it reads {', '.join(refused)} from the environment of the consumer, which does not allow that. Add "
                "the name to the setting DISPATCHER_ALLOW_ENV where the agent or worker runs, or take "
                f"'{{{{ ${refused[0]} }}}}' out of the template."
            )
        if "env" not in _known(template):
            level.pop("env", None)  # what the template does not declare reaches nothing in it
        return filled_in(job, level, environ, asked=asked)
    except (AttributeError, RecursionError, TypeError, ValueError) as error:
        raise TemplateInvalid(f"it cannot be filled in ({type(error).__name__}: {error}).") from error


def _known(template: Mapping[str, Any]) -> Mapping[str, Any]:
    return (template.get("variables") or {}).get("properties") or {}


def _defaults(template: Mapping[str, Any]) -> Document:
    known = _known(template)
    return {name: rule["default"] for name, rule in known.items() if isinstance(rule, dict) and "default" in rule}


def _told_names(template: Mapping[str, Any]) -> str:
    known, required = _known(template), (template.get("variables") or {}).get("required") or ()
    names = [f"{name} (required)" if name in required else name for name in known]
    return f"Known are: {', '.join(names)}." if names else "There are no variables."


def _faults(template: Any) -> Iterator[str]:
    if not isinstance(template, dict):
        yield f"it must be an object with {PARTS[0]} and {PARTS[1]}, or {{}}, not {kind(template)}"
        return
    if broken := schemas.json_faults(template):
        yield from broken
        return
    if not template:
        return
    for name in template:
        if name not in PARTS:
            yield worded("", unknown(name, PARTS))
    for name, other in (PARTS, PARTS[::-1]):
        if name not in template:
            yield f"{name!r} is missing: it needs both it and {other!r}"
        elif not isinstance(template[name], dict):
            yield f"{name}: it must be an object, not {kind(template[name])}"
    variables, job = (template.get(name) for name in reversed(PARTS))
    if isinstance(variables, dict):
        yield from _variable_faults(variables)
    is_known = isinstance(variables, dict) and isinstance(variables.get("properties", {}), dict)
    yield from _placeholder_faults(job, PARTS[0], _known(template) if is_known else None)


def _variable_faults(variables: Mapping[str, Any]) -> Iterator[str]:
    found, sound = schema_guard.judged(variables, PARTS[1])
    yield from found
    if variables.get("type", "object") != "object":
        yield f"variables.type: it must be 'object', not {variables['type']!r}"
    for word in variables:
        if word not in _WORDS and nearest(word, _WORDS):
            yield worded(PARTS[1], unknown(word, _WORDS))
    known, required = variables.get("properties", {}), variables.get("required")
    if not isinstance(known, dict):
        return
    for name in required if isinstance(required, list | tuple) else ():
        if isinstance(name, str) and name not in known:
            yield worded(at(PARTS[1], "required"), f"{name!r} is not declared{nearest(name, known)}")
    root = {word: rule for word, rule in variables.items() if word not in ("$id", "$schema")}  # they may be at fault
    for name, rule in known.items():
        if ("properties", name) in sound and isinstance(rule, dict) and "default" in rule:
            path = at(PARTS[1], "properties", name, "default")
            yield from schemas.value_faults(rule, rule["default"], root=root, path=path, formats="template")


def _placeholder_faults(part: Any, path: str, known: Mapping[str, Any] | None) -> Iterator[str]:
    """`known` None: which names are declared cannot be told."""
    if isinstance(part, str):
        for kind, name in placeholders(part):
            if kind == "name" and known is not None and name not in known:
                yield worded(path, f"{{{{ {name} }}}} is not declared in variables{nearest(name, known)}")
        if is_malformed(part):
            yield worded(
                path,
                "'{{' begins no placeholder: write {{ name }} or {{ $NAME }}. Braces that are meant as text go into a "
                "variable's default",
            )
    elif isinstance(part, dict):
        for key, member in part.items():
            if "{{" in key:
                yield worded(path, f"the key {key!r} cannot hold a placeholder: only values can")
            yield from _placeholder_faults(member, at(path, key), known)
    elif isinstance(part, list | tuple):
        for index, item in enumerate(part):
            yield from _placeholder_faults(item, at(path, index), known)
