"""Channels as an annotation describes them, and a task's parameters and their roles."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING, Any, Literal, cast

from cdao_sdk.errors import SpecError
from cdao_sdk.kinds.job import DataSource

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

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

_NOUNS = {int: "whole number", str: "str"}


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

    Raises:
        SpecError: A value is of the wrong type.

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

    def __post_init__(self) -> None:
        problems = list(self._type_problems())
        if problems:
            msg = "a Channel has values of the wrong type"
            raise SpecError(msg, problems=problems)

    def _type_problems(self) -> Iterator[str]:
        # Annotations are not checked by Python, and a str is a sequence of its characters.
        for option in ("attribute_names", "instance_groups"):
            names: object = getattr(self, option)
            if isinstance(names, str):
                yield f"{option}={names!r} is a str; give a tuple: ({names!r},)"
            elif not isinstance(names, (tuple, list)) or not all(
                isinstance(name, str) for name in cast("Sequence[object]", names)
            ):
                yield f"{option}={names!r} must be a tuple of str"
        for option in ("name", *OPTIONS):
            value: object = getattr(self, option)
            wanted = int if option == "shuffle_seed" else str
            if isinstance(value, (tuple, list)) or value is None:
                continue
            if not isinstance(value, wanted) or isinstance(value, bool):
                given = f"{option}={value!r} is of type {type(value).__name__}"
                yield f"{given}; it must be a {_NOUNS[wanted]}"

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
