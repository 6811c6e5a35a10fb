"""Pieces that the kinds' requests share: tags, environment, data sources, content types."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING, cast
from urllib.parse import urlsplit

from cdao_sdk.errors import PlanError
from cdao_sdk.kinds.job import DataSource
from cdao_sdk.kinds.naming import tag_value
from cdao_sdk.kinds.problem import environment_problems

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cdao_sdk.kinds.job import JobContext, RuntimeFiles
    from cdao_sdk.kinds.problem import EnvironmentLimits

_CONTENT_TYPES = {
    ".csv": "text/csv",
    ".parquet": "application/x-parquet",
    ".libsvm": "text/libsvm",
    ".svm": "text/libsvm",
    ".json": "application/json",
    ".jsonl": "application/jsonlines",
    ".npy": "application/x-npy",
    ".recordio": "application/x-recordio",
    ".tfrecord": "application/x-tfrecord",
}


def merged_tags(users: Mapping[str, str], ours: Mapping[str, str]) -> list[dict[str, str]]:
    """Tags of a request; the user's win.

    Raises:
        PlanError: More than SageMaker takes.
    """
    tags = {**{tag_value(k)[:128]: tag_value(v) for k, v in ours.items()}, **users}
    if len(tags) > 50:
        msg = f"{len(tags)} tags; SageMaker takes 50, and {len(ours)} of them are ours"
        raise PlanError(msg)
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def merged_environment(
    users: Mapping[str, str], ours: Mapping[str, str], limits: EnvironmentLimits
) -> dict[str, str]:
    """Environment of a request.

    Raises:
        PlanError: A name in both, or more than SageMaker takes.
    """
    problems = [
        f"{name!r} is set by the run itself; remove it from the task's environment"
        for name in sorted(set(users) & set(ours))
    ]
    merged = {**users, **ours}
    problems += [p.text for p in environment_problems("environment", merged, limits, ours=True)]
    if problems:
        msg = "the job's environment does not fit"
        raise PlanError(msg, problems=problems)
    return merged


def run_sources(context: JobContext) -> dict[str, DataSource]:
    """Everything that a job reads, by channel: data first, ``train`` before all, then our files."""
    names = sorted(context.channels, key=lambda name: name != "train")
    data = {name: context.channels[name] for name in names}
    return data if context.runtime is None else {**data, **_runtime_sources(context.runtime)}


def _runtime_sources(files: RuntimeFiles) -> dict[str, DataSource]:
    uris = {"cdao": files.runtime_uri, "cdao-job": files.job_uri, "cdao-code": files.code_uri}
    return {name: DataSource(uri, input_mode="File") for name, uri in uris.items() if uri}


def content_type(source: DataSource) -> str:
    """What a source says of itself, else what its name says, else ``text/csv``."""
    suffix = PurePosixPath(urlsplit(source.uri).path).suffix.lower()
    return source.content_type or _CONTENT_TYPES.get(suffix, "text/csv")


def pruned(parameters: Mapping[str, object]) -> dict[str, object]:
    """A request without what is not set: ``None`` and empty structures, at any depth."""
    kept = {name: _pruned_value(value) for name, value in parameters.items()}
    return {name: value for name, value in kept.items() if value not in (None, {}, [])}


def _pruned_value(value: object) -> object:
    if isinstance(value, dict):
        return pruned(cast("dict[str, object]", value))
    if isinstance(value, list):
        return [_pruned_value(item) for item in cast("list[object]", value)]
    return value
