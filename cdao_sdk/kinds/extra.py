"""``extra``: fields of SageMaker's requests that no option sets, in SageMaker's own spelling.

A field that an option sets is refused here. Three lists are added to, after what the task itself
brings: a training job's channels, a processing job's inputs and its outputs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from cdao_sdk.errors import PlanError, did_you_mean
from cdao_sdk.kinds.api_shapes import MemberRules, request_problems
from cdao_sdk.kinds.channel_rules import RESERVED_CHANNELS
from cdao_sdk.kinds.field_owners import WITHOUT_A_FUNCTION, is_always_set, owner

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from pydantic import JsonValue

_NAMES: Mapping[str, str] = {
    "InputDataConfig": "ChannelName",
    "ProcessingInputs": "InputName",
    "Outputs": "OutputName",
}
_ONE_OF: Mapping[str, tuple[str, ...]] = {
    "InputDataConfig": ("S3DataSource", "FileSystemDataSource", "DatasetSource"),
    "ProcessingInputs": ("S3Input", "DatasetDefinition"),
    "DatasetDefinition": ("AthenaDatasetDefinition", "RedshiftDatasetDefinition"),
    "Outputs": ("S3Output", "FeatureStoreOutput"),
}


class _ExtraRules(MemberRules):
    """What belongs to an option is refused, and what an option sets need not be given."""

    def __init__(self, operation: str, options: object, prefix: str) -> None:
        self._operation = operation
        self._options = options
        self._prefix = prefix

    def refusal(self, path: str) -> str | None:
        if "[" in path or path in WITHOUT_A_FUNCTION:
            return None  # the entries of a list are the user's own
        found = owner(self._operation, path)
        if found is None:
            return None
        if found.options:
            names = " or ".join(found.options)
            return f"{self._prefix} sets {path}, which the option {names} sets; give that instead"
        return f"{self._prefix} sets {path}, which is {found.note}"

    def missing(self, path: str) -> str | None:
        if "[" in path:
            return super().missing(path)
        if is_always_set(self._operation, path):
            return None
        found = owner(self._operation, path)
        if found is None:
            return super().missing(path)
        if any(getattr(self._options, name, None) for name in found.options):
            return None
        return f"{path} is missing: give the option {' or '.join(found.options)}"


def extra_problems(
    extra: Mapping[str, JsonValue], operations: Sequence[str], options: object
) -> Iterator[str]:
    """What is wrong with ``extra``, one sentence each.

    Args:
        extra: For a kind with one operation its fields; with several, a dict for each operation.
        operations: The operations that start a job.
        options: The spec; some fields need an option beside them.
    """
    if not extra:
        return
    if len(operations) == 1:
        yield from _operation_problems(operations[0], extra, options, "extra")
        return
    for name, part in extra.items():
        if name not in operations:
            near = did_you_mean(name, operations)
            known = " and ".join(map(repr, operations))
            yield f"extra[{name!r}]: its parts are named {known}.{near}"
        elif not isinstance(part, dict):
            yield f"extra[{name!r}] is of type {type(part).__name__}; it must be a dict"
        else:
            yield from _operation_problems(name, part, options, f"extra[{name!r}]")


def _operation_problems(
    operation: str, extra: Mapping[str, JsonValue], options: object, prefix: str
) -> Iterator[str]:
    found = list(request_problems(operation, extra, _ExtraRules(operation, options, prefix)))
    yield from (text if text.startswith(prefix) else f"{prefix}: {text}" for text in found)
    # The rules below read only what the shapes have found right.
    sound: dict[str, Any] = {
        name: value for name, value in extra.items() if not any(name in text for text in found)
    }
    for text in _between_fields(sound, bool(getattr(options, "subnets", ()))):
        yield f"{prefix}: {text}"


def _between_fields(extra: Mapping[str, Any], has_vpc: bool) -> Iterator[str]:
    """Rules that no shape states."""
    for index, channel in enumerate(extra.get("InputDataConfig", ())):
        where = f"InputDataConfig[{index}]"
        yield from _name_problems(where, channel["ChannelName"])
        yield from _one_of(f"{where}.DataSource", channel["DataSource"], "InputDataConfig")
        if "FileSystemDataSource" in channel["DataSource"] and not has_vpc:
            yield f"{where}: a file system is reached in a VPC; give subnets, security_group_ids"
    for index, each in enumerate(extra.get("ProcessingInputs", ())):
        where = f"ProcessingInputs[{index}]"
        yield from _name_problems(where, each["InputName"])
        yield from _one_of(where, each, "ProcessingInputs")
        yield from _local_path(where, each)
        if "DatasetDefinition" in each:
            definition = each["DatasetDefinition"]
            yield from _one_of(f"{where}.DatasetDefinition", definition, "DatasetDefinition")
    outputs = extra.get("ProcessingOutputConfig", {}).get("Outputs", ())
    for index, each in enumerate(outputs):
        where = f"ProcessingOutputConfig.Outputs[{index}]"
        yield from _name_problems(where, each["OutputName"])
        yield from _one_of(where, each, "Outputs")
        if "FeatureStoreOutput" in each and not each.get("AppManaged"):
            yield f"{where}: a FeatureStoreOutput needs AppManaged=True beside it"
    yield from _repeated("InputDataConfig", extra.get("InputDataConfig", ()), "ChannelName")
    yield from _repeated("ProcessingInputs", extra.get("ProcessingInputs", ()), "InputName")
    yield from _repeated("ProcessingOutputConfig.Outputs", outputs, "OutputName")
    if "Containers" in extra:
        yield from _container_problems(extra)


def _name_problems(where: str, name: str) -> Iterator[str]:
    if name in RESERVED_CHANNELS or not name:
        yield f"{where}: the name {name!r} is reserved for the function's own files"


def _local_path(where: str, each: Mapping[str, Any]) -> Iterator[str]:
    """API references of ProcessingS3Input and DatasetDefinition."""
    for name in ("S3Input", "DatasetDefinition"):
        path = each.get(name, {}).get("LocalPath")
        if name not in each or each.get("AppManaged"):
            continue
        if path is None:
            yield f"{where}.{name}.LocalPath is missing: give it, or AppManaged=True beside {name}"
        elif not path.startswith("/opt/ml/processing/"):
            yield f"{where}.{name}.LocalPath={path!r} must begin with /opt/ml/processing/"


def _one_of(where: str, value: Mapping[str, Any], rule: str) -> Iterator[str]:
    names = _ONE_OF[rule]
    if sum(name in value for name in names) != 1:
        yield f"{where} must have exactly one of {', '.join(names)}"


def _repeated(where: str, entries: Sequence[Mapping[str, Any]], key: str) -> Iterator[str]:
    names = [entry[key] for entry in entries]
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield f"{where}: {key} {name!r} is used more than once"


_PLACE_HOLDS = ("ModelDataUrl", "ModelDataSource", "Environment", "ImageConfig")


def is_place(container: Mapping[str, Any]) -> bool:
    """Whether an entry of ``Containers`` is the place of the task's own model."""
    return "Image" not in container and "ModelPackageName" not in container


def _container_problems(extra: Mapping[str, Any]) -> Iterator[str]:
    places = [each for each in extra["Containers"] if is_place(each)]
    if len(places) != 1:
        yield (
            f"Containers has {len(places)} entries without Image; it needs exactly one, {{}}: "
            "the place of the task's own model in the pipeline"
        )
    for name in sorted({name for each in places for name in _PLACE_HOLDS if name in each}):
        yield f"Containers sets {name} of the task's own model, which its options set"
    unnamed = [each for each in extra["Containers"] if "ContainerHostname" not in each]
    if 0 < len(unnamed) < len(extra["Containers"]):
        yield "Containers: give ContainerHostname in every entry, or in none"
    if "PrimaryContainer" in extra:
        yield "Containers and PrimaryContainer exclude each other; give all in Containers"


def set_beside_function(extra: Mapping[str, JsonValue]) -> list[str]:
    """Fields in ``extra`` that only a job without a function of the user's can have."""
    specification = extra.get("AlgorithmSpecification")
    given = specification if isinstance(specification, dict) else {}
    return [path for path in WITHOUT_A_FUNCTION if path.rpartition(".")[2] in given]


def with_extra(request: Mapping[str, object], extra: Mapping[str, JsonValue]) -> dict[str, object]:
    """A request with what ``extra`` adds.

    Args:
        request: What options and inputs gave.
        extra: Checked by ``extra_problems`` before.

    Raises:
        PlanError: Both set one field, or bear one name in a list.
    """
    clashes: list[str] = []
    merged = _merged(dict(request), cast("Mapping[str, object]", extra), "", clashes)
    if clashes:
        msg = "the task's extra does not fit this job"
        raise PlanError(msg, problems=clashes)
    return merged


def _merged(
    ours: dict[str, object], theirs: Mapping[str, object], path: str, clashes: list[str]
) -> dict[str, object]:
    merged = dict(ours)
    for name, value in theirs.items():
        here = f"{path}.{name}" if path else name
        mine = merged.get(name)
        if mine is None:
            merged[name] = value
        elif isinstance(mine, dict) and isinstance(value, dict):
            inner = cast("dict[str, object]", mine)
            merged[name] = _merged(inner, cast("dict[str, object]", value), here, clashes)
        elif isinstance(mine, list) and isinstance(value, list) and name in _NAMES:
            both = [*cast("list[Any]", mine), *cast("list[Any]", value)]
            clashes += [f"extra: {text}" for text in _repeated(here, both, _NAMES[name])]
            merged[name] = both
        else:
            clashes.append(f"extra sets {here}, which the job itself sets; leave it out")
    return merged
