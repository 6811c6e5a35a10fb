"""What the channels of each kind of job may be."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cdao_sdk.errors import did_you_mean
from cdao_sdk.kinds.channels import OPTIONS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from cdao_sdk.kinds.channels import ParameterRole

RESERVED_CHANNELS = ("cdao", "cdao-job", "cdao-code")
"""Channels that carry the user's function into the job."""

CHANNEL_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")

_LARGEST_SEED = 2**53
"""What a task's template keeps exactly."""

_CHOICES: Mapping[str, tuple[str, ...]] = {
    "compression": ("Gzip",),
    "distribution": ("FullyReplicated", "ShardedByS3Key"),
    "record_wrapper": ("RecordIO",),
}


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
    yield from _value_problems(role)
    mode = role.input_mode or rules.input_mode
    if mode not in rules.modes:
        yield _no_choice(f"input_mode {mode!r}", mode, rules.modes)
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


def _value_problems(role: ParameterRole) -> Iterator[str]:
    for option, choices in _CHOICES.items():
        value = getattr(role, option)
        if value is not None and value not in choices:
            yield _no_choice(f"{option}={value!r}", value, choices)
    if not re.fullmatch(".{0,256}", role.content_type or ""):
        yield f"content_type={role.content_type!r:.80} must be one line of at most 256 characters"
    if abs(role.shuffle_seed or 0) > _LARGEST_SEED:
        yield f"shuffle_seed={role.shuffle_seed} must be between -2**53 and 2**53"


def _no_choice(given: str, value: str, choices: Sequence[str]) -> str:
    return f"{given} is not one of {', '.join(choices)}.{did_you_mean(value, choices)}"


def _mode_problems(role: ParameterRole, mode: str, rules: ChannelRules) -> Iterator[str]:
    if role.compression and mode not in rules.compressed_modes:
        yield f"compression needs input_mode 'Pipe'; {mode!r} leaves as is"
    if role.record_wrapper and mode != "Pipe":
        yield f"record_wrapper needs input_mode 'Pipe'; {mode!r} leaves as is"


def _manifest_problems(role: ParameterRole, mode: str, rules: ChannelRules) -> Iterator[str]:
    names, data_type = role.attribute_names, role.data_type or "S3Prefix"
    is_augmented = data_type == "AugmentedManifestFile"
    if data_type not in rules.data_types:
        yield _no_choice(f"data_type={data_type!r}", data_type, rules.data_types)
    elif is_augmented and mode != "Pipe":
        yield f"data_type={data_type!r} needs input_mode 'Pipe', not {mode!r}"
    if is_augmented and not names:
        yield f"data_type={data_type!r} needs attribute_names: what to read of each line"
    if names and not is_augmented:
        yield "attribute_names is for data_type 'AugmentedManifestFile' only"
    if len(names) > 16 or not all(re.fullmatch(r".{1,256}", name) for name in names):
        yield "attribute_names takes up to 16 names of 1 to 256 characters"
