"""Which step of which execution a job is: from its name, its execution's facts, or its tags."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cdao_sdk.kinds.naming import execution_slug

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["JobLabel", "group_names", "is_execution_id", "is_job_name", "label_of", "label_words"]

# <execution>-<node>-<function>-<hash>-<attempt>, as kinds.naming and flyte.submission put it
# together.
_JOB_NAME = re.compile(r"(?P<beginning>.+)-[a-z2-7]{8}-(?P<attempt>\d+)")
_EXECUTION_ID = re.compile(r"[a-z][a-z0-9]{19}")
# Flyte's own ids of nodes, one inside the other: n1, n1-0-n3, dn0.
_NODE = re.compile(r"((?:[dfs]?n)?\d+(?:-(?:[dfs]?n)?\d+)*)(?:-(?P<rest>.+))?")
_ELEMENT = re.compile(r"(?P<many>.+)-d?n\d+")  # of a map, or made by a dynamic task
_CUT_FROM = 62  # a name of so many characters may have lost the end of its function
_MANY = 5  # nodes of one function inside of one node: a map, if nothing says that it is none


@dataclass(frozen=True)
class JobLabel:
    """Which step of which execution a job is.

    Attributes:
        node: The node's id; empty for a job that is not one of ours.
        task: The task's name, without its module; empty if nothing tells it.
        attempt: Which try, from 0.
        execution: The execution's id, where the job's tags or its name say it.
        is_sure: Whether the task's name is whole: a job's name may have lost its end.
    """

    node: str = ""
    task: str = ""
    attempt: int = 0
    execution: str = ""
    is_sure: bool = True


def is_job_name(text: str) -> bool:
    """Whether a text is made like the name of one of our jobs.

    Example:
        >>> is_job_name("f3a9d1c0b7-n0-fit-dtyxehan-1"), is_job_name("f3a9d1c0b7")
        (True, False)
    """
    return _JOB_NAME.fullmatch(text) is not None


def is_execution_id(text: str) -> bool:
    """Whether a text is made like the ids that Flyte, and a run in this process, give themselves.

    Example:
        >>> is_execution_id("a0f3a9d1c0b7e5f60718"), is_execution_id("my-training-job")
        (True, False)
    """
    return _EXECUTION_ID.fullmatch(text) is not None


def label_of(
    job_name: str,
    tags: Mapping[str, str],
    execution_prefix: str = "",
    tasks: Mapping[str, str] | None = None,
) -> JobLabel:
    """Which step a job is, from its tags, else from its name.

    Args:
        job_name: The job's name.
        tags: Its tags; empty if they are not known.
        execution_prefix: How the names of this execution's jobs begin, if that is known.
        tasks: Task's name by node's id, as far as the execution's record tells; it may be empty.

    Example:
        >>> label_of("f3a9d1c0b7-n0-dtyxehan-1", {"cdao:task": "flow.train", "cdao:node": "n0"})
        JobLabel(node='n0', task='train', attempt=1, execution='', is_sure=True)
        >>> label_of("f3a9d1c0b7-n1-n3-fit-model-dtyxehan-0", {})
        JobLabel(node='n1-n3', task='fit_model', attempt=0, execution='', is_sure=True)
        >>> label_of("a0f3a9d1c0b7e5f60718-n0-train-dtyxehan-0", {}).execution
        'a0f3a9d1c0b7e5f60718'
    """
    match = _JOB_NAME.fullmatch(job_name)
    attempt = int(match["attempt"]) if match else 0
    task = tags.get("cdao:task", "").rpartition(".")[2]
    execution = tags.get("cdao:execution", "") or (_execution_in(job_name) if match else "")
    node = tags.get("cdao:node", "")
    if node and task:
        return JobLabel(node, task, attempt, execution)
    middle = _middle(match["beginning"], execution_prefix) if match else ""
    named_node, function = _split(middle, tasks or {})
    node = node or named_node
    known = (tasks or {}).get(node, "").rpartition(".")[2]
    is_cut = len(job_name) >= _CUT_FROM
    # A function's name has no dashes.
    return JobLabel(
        node=node,
        task=task or known or function.replace("-", "_"),
        attempt=attempt,
        execution=execution,
        is_sure=bool(task or known) or (bool(function) and not is_cut) or not middle,
    )


def _execution_in(job_name: str) -> str:
    """The execution in a job's name, where that has it whole: others are shortened there."""
    first = job_name.partition("-")[0]
    return first if is_execution_id(first) else ""


def _middle(beginning: str, execution_prefix: str) -> str:
    known = execution_prefix and beginning.startswith(f"{execution_prefix}-")
    cut = len(execution_prefix) if known else beginning.find("-")
    return beginning[cut + 1 :] if cut > 0 else ""


def _split(middle: str, tasks: Mapping[str, str]) -> tuple[str, str]:
    """Node and function, from the middle of a job's name."""
    slugs = {execution_slug(node): node for node in tasks}
    fits = [slug for slug in slugs if middle == slug or middle.startswith(f"{slug}-")]
    own = _NODE.fullmatch(middle)
    if fits:
        slug = max(fits, key=len)
        rest = middle[len(slug) + 1 :]
        # A node of a map, or in a dynamic task: its record names the one around it.
        if own is None or not own[1].startswith(f"{slug}-"):
            return slugs[slug], rest
    if own is not None:
        return own[1], own["rest"] or ""
    return middle, ""


def label_words(steps: Mapping[str, JobLabel]) -> dict[str, str]:
    """A short name for each job: nodes of one task get the node's id, later tries their number.

    Args:
        steps: The jobs' steps by the jobs' names.
    """
    nodes_of_task: dict[tuple[str, str], set[str]] = {}
    for step in steps.values():
        nodes_of_task.setdefault((step.execution, step.task), set()).add(step.node)
    words: dict[str, str] = {}
    for name, step in steps.items():
        word = step.task or step.node or name
        if step.task and len(nodes_of_task[step.execution, step.task]) > 1:
            word = f"{step.task} {step.node}"
        words[name] = f"{word} (try {step.attempt + 1})" if step.attempt else word
    return words


def group_names(steps: Mapping[str, JobLabel], nodes: Iterable[str] = ()) -> dict[str, str]:
    """What each job is one of many of, by the job's name: the node of a map.

    Args:
        steps: The jobs' steps by the jobs' names.
        nodes: The nodes that the execution's record names; those of a map's elements are not
            among them.

    Returns:
        Names such as ``"fit n1"``; a job that is one of nothing is not in it.
    """
    listed = set(nodes)
    members: dict[tuple[str, str, str], dict[str, str]] = {}
    for name, step in steps.items():
        match = _ELEMENT.fullmatch(step.node)
        if match is not None and step.node not in listed:
            key = (step.execution, match["many"], step.task)
            members.setdefault(key, {})[name] = step.node
    groups: dict[str, str] = {}
    for (_, node, task), names in members.items():
        if node in listed or len(set(names.values())) >= _MANY:
            groups.update(dict.fromkeys(names, f"{task} {node}".strip()))
    return groups
