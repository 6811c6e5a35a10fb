"""Channels of a job: what an annotation may say of one, and what fits which kind of job.

Also the values that the rules in ``parameters`` work with: a task's parameters and their roles.
"""

from __future__ import annotations

import re
from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING, Any, Literal

from cdao_sdk.errors import did_you_mean
from cdao_sdk.kinds.job import DataSource

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

ParameterType = Literal[
    "string",
    "integer",
    "float",
    "boolean",
    "datetime",
    "duration",
    "struct",
    "list",
    "map",
    "file",
    "directory",
    "dataframe",
    "pickle",
    "none",
    "union",
]
Role = Literal[
    "channel",
    "hyperparameter",
    "hyperparameters",
    "value",
    "model",
    "input",
    "environment",
    "unused",
]

RESERVED_CHANNELS = ("cdao", "cdao-job", "cdao-code")
"""Channels that carry the user's function into the job."""

CHANNEL_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")

OPTIONS = (
    "content_type",
    "input_mode",
    "data_type",
    "compression",
    "distribution",
    "attribute_names",
    "record_wrapper",
    "shuffle_seed",
    "instance_groups",
)
"""What a ``Channel`` may say beside its name."""

_CHOICES: Mapping[str, tuple[str, ...]] = {
    "compression": ("Gzip",),
    "distribution": ("FullyReplicated", "ShardedByS3Key"),
    "record_wrapper": ("RecordIO",),
}


@dataclass(frozen=True)
class Channel:
    """Marks a parameter as data that SageMaker brings into the job.

    Attributes:
        name: The channel's name; ``None`` for the parameter's own.
        content_type: MIME type, such as ``"text/csv"``.
        input_mode: ``"File"``, ``"FastFile"`` or ``"Pipe"``; ``None`` for the job's own.
        data_type: ``"S3Prefix"`` (default): the URI is a prefix or an object. ``"ManifestFile"``:
            it is a list of objects. ``"AugmentedManifestFile"``: JSON lines, in Pipe mode.
        compression: ``"Gzip"`` for gzipped objects; in Pipe mode.
        distribution: ``"FullyReplicated"`` (default): every host gets all of it.
            ``"ShardedByS3Key"``: each host gets its share of the objects.
        attribute_names: What is read of each line of an augmented manifest; 1 to 16 names.
        record_wrapper: ``"RecordIO"`` wraps each object in a record; in Pipe mode.
        shuffle_seed: Shuffles the order of objects or lines; in Pipe mode anew for every epoch.
        instance_groups: Names of the task's ``instance_groups`` that get the data; all by default.

    Which of them a kind of job has, and which go together, is checked when the task is declared.
    They are fields of SageMaker's ``Channel`` and ``S3DataSource``.

    Example:
        >>> Channel("train", content_type="text/csv").name
        'train'
        >>> Channel(distribution="ShardedByS3Key", shuffle_seed=7).options
        {'distribution': 'ShardedByS3Key', 'shuffle_seed': 7}
    """

    name: str | None = None
    _: KW_ONLY
    content_type: str | None = None
    input_mode: Literal["File", "FastFile", "Pipe"] | None = None
    data_type: Literal["S3Prefix", "ManifestFile", "AugmentedManifestFile"] | None = None
    compression: Literal["Gzip"] | None = None
    distribution: Literal["FullyReplicated", "ShardedByS3Key"] | None = None
    attribute_names: tuple[str, ...] = ()
    record_wrapper: Literal["RecordIO"] | None = None
    shuffle_seed: int | None = None
    instance_groups: tuple[str, ...] = ()

    @property
    def options(self) -> dict[str, Any]:
        """What is set, without the name."""
        return {name: value for name in OPTIONS if (value := getattr(self, name)) not in (None, ())}


@dataclass(frozen=True)
class Parameter:
    """One parameter of a task.

    Attributes:
        name: Its name.
        type: Its Flyte type, reduced to one word.
        channel: Its ``Channel`` annotation, if it has one.
        has_default: Whether a call may leave it out.
    """

    name: str
    type: ParameterType
    channel: Channel | None = None
    has_default: bool = False


@dataclass(frozen=True)
class ParameterRole:
    """What one parameter becomes.

    Attributes:
        name: The parameter's name.
        role: Its place in the job.
        channel: Name of the channel or processing input, for the roles ``channel`` and ``input``.
        content_type: As annotated; ``None`` leaves it to the data's name.
        input_mode: As annotated.
        compression: As annotated.
        data_type: As annotated.
        distribution: As annotated.
        attribute_names: As annotated.
        record_wrapper: As annotated.
        shuffle_seed: As annotated.
        instance_groups: As annotated.
        why: One sentence that says how this was decided.
    """

    name: str
    role: Role
    why: str
    channel: str | None = None
    content_type: str | None = None
    input_mode: str | None = None
    compression: str | None = None
    distribution: str | None = None
    data_type: str | None = None
    attribute_names: tuple[str, ...] = ()
    record_wrapper: str | None = None
    shuffle_seed: int | None = None
    instance_groups: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        # A task's template knows lists for tuples, and floats for whole numbers.
        for name in ("attribute_names", "instance_groups"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if self.shuffle_seed is not None:
            object.__setattr__(self, "shuffle_seed", int(self.shuffle_seed))

    def source(self, uri: str) -> DataSource:
        """What feeds the channel, with all that the annotation says of it.

        Args:
            uri: ``s3://`` URI of the data.
        """
        return DataSource(
            uri,
            content_type=self.content_type,
            input_mode=self.input_mode,
            data_type=self.data_type or "S3Prefix",
            compression=self.compression,
            distribution=self.distribution,
            attribute_names=self.attribute_names,
            record_wrapper=self.record_wrapper,
            shuffle_seed=self.shuffle_seed,
            instance_groups=self.instance_groups,
        )


@dataclass(frozen=True)
class ChannelRules:
    """What the channels of one job may be.

    Attributes:
        kind: The kind of job, for messages.
        modes: Input modes that it has.
        data_types: What its URIs may stand for.
        options: Options of ``Channel`` that it has.
        input_mode: The job's own input mode.
        compressed_modes: Input modes in which SageMaker unpacks.
        groups: Names of its instance groups.
    """

    kind: str
    modes: tuple[str, ...]
    data_types: tuple[str, ...]
    options: tuple[str, ...]
    input_mode: str = "File"
    compressed_modes: tuple[str, ...] = ("Pipe",)
    groups: tuple[str, ...] = ()


def training_rules(input_mode: str, groups: tuple[str, ...]) -> ChannelRules:
    """Channels of a training job."""
    return ChannelRules(
        kind="training",
        modes=("File", "FastFile", "Pipe"),
        data_types=("S3Prefix", "ManifestFile", "AugmentedManifestFile"),
        options=OPTIONS,
        input_mode=input_mode,
        groups=groups,
    )


PROCESSING_RULES = ChannelRules(
    kind="processing",
    modes=("File",),
    data_types=("S3Prefix", "ManifestFile"),
    options=("input_mode", "data_type", "compression", "distribution"),
)
"""Inputs of a processing job: files, before the function begins."""

TRANSFORM_RULES = ChannelRules(
    kind="transform",
    modes=("File",),
    data_types=("S3Prefix", "ManifestFile"),
    options=("content_type", "data_type", "compression"),
    compressed_modes=("File",),
)
"""The one input of a batch transform."""


def channel_problems(roles: Sequence[ParameterRole], rules: ChannelRules) -> Iterator[str]:
    """What is wrong with the channels of a task, one sentence each.

    Args:
        roles: What its parameters became.
        rules: What its kind of job takes.
    """
    taken: dict[str, str] = {}
    for role in roles:
        if role.channel is None:
            continue
        where = f"{role.name} → channel {role.channel!r}"
        problems = [*_name_problems(role.channel), *_option_problems(role, rules)]
        if role.channel in taken:
            problems.append(f"{taken[role.channel]} feeds it already; name another")
        taken.setdefault(role.channel, role.name)
        yield from (f"{where}: {problem}" for problem in problems)


def _name_problems(name: str) -> Iterator[str]:
    if not CHANNEL_NAME.fullmatch(name):
        yield (
            "up to 64 of A-Z, a-z, 0-9, '.', '_' and '-'; "
            'name it with Annotated[…, Channel("train")]'
        )
    if name in RESERVED_CHANNELS:
        yield "this name is reserved for the function's own files"


def _option_problems(role: ParameterRole, rules: ChannelRules) -> Iterator[str]:
    for option in OPTIONS:
        if option not in rules.options and getattr(role, option) not in (None, ()):
            yield f"{option}: the inputs of {rules.kind} jobs have no such option in SageMaker"
    for option, choices in _CHOICES.items():
        value = getattr(role, option)
        if value is not None and value not in choices:
            yield f"{option}={value!r} is not one of {', '.join(choices)}"
    mode = role.input_mode or rules.input_mode
    if mode not in rules.modes:
        yield f"input_mode {mode!r} is not one of {', '.join(rules.modes)}"
    else:
        yield from _mode_problems(role, mode, rules)
    yield from _manifest_problems(role, mode, rules)
    for name in role.instance_groups:
        if name not in rules.groups and "instance_groups" in rules.options:
            near = did_you_mean(name, rules.groups)
            known = ", ".join(rules.groups) or "none"
            yield f"the task has no instance group {name!r}; it has: {known}.{near}"
    if len(role.instance_groups) > 5:
        yield f"{len(role.instance_groups)} instance_groups; SageMaker takes 5"


def _mode_problems(role: ParameterRole, mode: str, rules: ChannelRules) -> Iterator[str]:
    if role.compression and mode not in rules.compressed_modes:
        yield f"compression needs input_mode 'Pipe'; {mode!r} leaves as is"
    if role.record_wrapper and mode != "Pipe":
        yield f"record_wrapper needs input_mode 'Pipe'; {mode!r} leaves as is"


def _manifest_problems(role: ParameterRole, mode: str, rules: ChannelRules) -> Iterator[str]:
    names, data_type = role.attribute_names, role.data_type or "S3Prefix"
    is_augmented = data_type == "AugmentedManifestFile"
    if data_type not in rules.data_types:
        yield f"data_type={data_type!r} is not one of {', '.join(rules.data_types)}"
    elif is_augmented and mode != "Pipe":
        yield f"data_type={data_type!r} needs input_mode 'Pipe', not {mode!r}"
    if is_augmented and not names:
        yield f"data_type={data_type!r} needs attribute_names: what to read of each line"
    if names and not is_augmented:
        yield "attribute_names is for data_type 'AugmentedManifestFile' only"
    if len(names) > 16 or not all(re.fullmatch(r".{1,256}", name) for name in names):
        yield "attribute_names takes up to 16 names of 1 to 256 characters"
