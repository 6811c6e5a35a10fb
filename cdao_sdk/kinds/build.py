"""Makes specs: from a decorator's options, with every problem in one error, and from JSON."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, cast

from pydantic import ValidationError

from cdao_sdk.errors import SpecError, did_you_mean
from cdao_sdk.kinds.option_groups import option_parts
from cdao_sdk.kinds.registry import KINDS, kind

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from pydantic_core import ErrorDetails

    from cdao_sdk.kinds.job import JobKind
    from cdao_sdk.kinds.spec import JobSpec

_ALIASES = {"image_uri": "container_image", "role": "sagemaker_role"}
_WANTED = {
    "bool_type": "True or False",
    "dict_type": "a dict",
    "int_type": "a whole number",
    "invalid-json-value": "a str, number, bool, list or dict",
    "string_type": "a str",
    "model_type": "a dict",
    "tuple_type": "a list",
}
_LIMITS = {
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "too_long": "has {actual_length} {unit}; at most {max_length}",
    "too_short": "must not be empty",
}
_SHOWN = 80
"""Characters of a value that an error shows."""


def build_spec(kind_name: str, options: Mapping[str, object]) -> JobSpec:
    """The spec that a decorator's options describe.

    Args:
        kind_name: ``"training"``, ``"processing"``, ``"transform"`` or an alias.
        options: Option by name; ``None`` counts as not given.

    Returns:
        The spec, with what follows from the options filled in (the newest framework version, the
        wait for spot capacity). ``spec.notes`` says what else the user should know.

    Raises:
        SpecError: With every problem of the options.

    Example:
        >>> spec = build_spec("training", {"framework": "xgboost", "framework_version": "1.2-1"})
        >>> spec.image("us-east-1")
        '683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:1.2-1'
    """
    job_kind = kind(kind_name)
    given, problems = _known_options(job_kind, options)
    invalid: set[str] = set()
    try:
        spec = job_kind.spec.model_validate(given)
    except ValidationError as error:
        details = error.errors(include_url=False)
        problems += [_sentence(detail, given, job_kind.spec) for detail in details]
        invalid = {str(detail["loc"][0]) for detail in details}
        # The rest is checked too, so that one error names everything.
        rest = {name: value for name, value in given.items() if name not in invalid}
        spec = job_kind.spec.model_validate(rest)
    for choice in (spec, *spec.choices[1:]):
        problems += [p.text for p in choice.problems() if invalid.isdisjoint(p.fields)]
    if problems:
        raise SpecError(_headline(job_kind, problems), problems=list(dict.fromkeys(problems)))
    return spec.completed()


def load_spec(kind_name: str, values: Mapping[str, object]) -> JobSpec:
    """A spec out of ``spec.model_dump(mode="json", exclude_defaults=True)``.

    Rules that may change with the catalog, such as known versions, are not checked again.

    Args:
        kind_name: The kind that the spec is of.
        values: The dump; it may have been through a protobuf ``Struct``, which turns 1 into 1.0.

    Raises:
        SpecError: The dump is damaged, or was made by a newer version of the SDK.
    """
    job_kind = kind(kind_name)
    try:
        return job_kind.spec.model_validate(_whole_numbers(values))
    except ValidationError as error:
        problems = [
            _sentence(detail, values, job_kind.spec) for detail in error.errors(include_url=False)
        ]
        msg = (
            f"the task's {job_kind.name} options cannot be read; "
            "was it registered with a newer version of cdao-sdk than the one that runs it?"
        )
        raise SpecError(msg, problems=problems) from error


def _known_options(
    job_kind: JobKind[JobSpec], options: Mapping[str, object]
) -> tuple[dict[str, object], list[str]]:
    given: dict[str, object] = {}
    problems: list[str] = []
    for written, value in _listed_types(options):
        name = _ALIASES.get(written, written)
        if value is None:
            continue
        if name not in job_kind.spec.model_fields:
            problems.append(_unknown_option(job_kind, written))
        elif name in given:
            problems.append(f"{written!r} and {name!r} are the same option; give one of them")
        else:
            given[name] = value
    return given, problems


def _listed_types(options: Mapping[str, object]) -> Iterator[tuple[str, object]]:
    """The options, a list of instance types taken apart into the first one and the others."""
    for name, value in options.items():
        if name == "instance_type" and isinstance(value, (list, tuple)) and value:
            first, *others = cast("Sequence[object]", value)
            yield name, first
            if others:
                yield "fallback_instance_types", others
        else:
            yield name, value


def _unknown_option(job_kind: JobKind[JobSpec], name: str) -> str:
    reason = job_kind.spec.absent.get(name)
    if reason:
        return f"unknown option {name!r}: {reason}"
    owners = [k.name for k in KINDS.values() if name in k.spec.model_fields]
    if owners:
        return f"unknown option {name!r}: only {' and '.join(owners)} tasks have it"
    near = did_you_mean(name, [*job_kind.spec.model_fields, *_ALIASES, *job_kind.spec.absent])
    return f"unknown option {name!r}.{near}"


def _headline(job_kind: JobKind[JobSpec], problems: list[str]) -> str:
    what = "this is" if len(problems) == 1 else f"{len(problems)} things are"
    return f"{job_kind.name} task: {what} wrong with its options"


def _sentence(detail: ErrorDetails, given: Mapping[str, object], spec: type[JobSpec]) -> str:
    path = _path(detail["loc"], given)
    value = detail["input"]
    shown = repr(value)
    if len(shown) > _SHOWN:
        shown = shown[: _SHOWN - 1] + "…"
    return f"{path}={shown} {_rule(detail, value, _parts(spec, str(detail['loc'][0])))}"


def _parts(spec: type[JobSpec], option: str) -> tuple[str, ...]:
    """Names of the parts that an option has, if it has some: ``instance_groups`` has ``name``."""
    field = spec.model_fields.get(option)
    return tuple(option_parts(field.annotation)) if field else ()


def _path(location: Iterable[int | str], given: Mapping[str, object]) -> str:
    """``tags['team']`` or ``subnets[0]``; steps that only pydantic knows are left out."""
    name, *steps = location
    path = str(name)
    here = given.get(path)
    for step in steps:
        if isinstance(here, dict) and step in here:
            here = cast("dict[object, object]", here)[step]
        elif isinstance(here, (list, tuple)) and isinstance(step, int):
            here = cast("list[object]", here)[step]
        else:
            continue
        path += f"[{step!r}]"
    return path


def _rule(detail: ErrorDetails, value: object, parts: Iterable[str]) -> str:
    context = detail.get("ctx", {})
    match detail["type"]:
        case "value_error":
            return str(context["error"])
        case "literal_error":
            choices = re.findall(r"'[^']*'|\d+", str(context["expected"]))
            names = [choice.strip("'") for choice in choices if choice.startswith("'")]
            near = did_you_mean(str(value), names)
            return f"is not one of {', '.join(choices)}.{near}"
        case limit if limit in _LIMITS:
            unit = "characters" if isinstance(value, str) else "entries"
            return _LIMITS[limit].format(**context, unit=unit)
        case "missing":
            return f"lacks {detail['loc'][-1]!r}"
        case "extra_forbidden" if len(detail["loc"]) == 1:
            return "is no option that this version knows"
        case "extra_forbidden":
            near = did_you_mean(str(detail["loc"][-1]), parts)
            return f"is not known here; known are {', '.join(parts)}.{near}"
        case other:
            wanted = _WANTED.get(other, detail["msg"])
            return f"is of type {type(value).__name__}; it must be {wanted}"


def _whole_numbers(value: object) -> object:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, dict):
        items = cast("dict[object, object]", value).items()
        return {key: _whole_numbers(item) for key, item in items}
    if isinstance(value, list):
        return [_whole_numbers(item) for item in cast("list[object]", value)]
    return value
