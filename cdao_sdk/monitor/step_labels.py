"""Which step each job of a feed is; AWS is asked once a node, and only where no name tells it."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING

from cdao_sdk.aws.tags import tags_of
from cdao_sdk.errors import CdaoError
from cdao_sdk.monitor.labels import JobLabel, label_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cdao_sdk.aws.call_budget import CallBudget
    from cdao_sdk.aws.session import AwsClients
    from cdao_sdk.aws.watch import Job

__all__ = ["StepLabels"]

_ELEMENT = re.compile(r"-d?n\d+$")


class StepLabels:
    """The labels of jobs.

    Args:
        clients: Where to ask.
        execution_prefix: How the names of the execution's jobs begin; empty if they are of several.
    """

    def __init__(self, clients: AwsClients, execution_prefix: str = "") -> None:
        self._clients = clients
        self._prefix = execution_prefix
        self._asked: set[str] = set()
        self._tags: dict[str, Mapping[str, str]] = {}
        self._task_of_node: dict[str, str] = {}
        self.labels: dict[str, JobLabel] = {}

    def update(self, jobs: Sequence[Job], tasks: Mapping[str, str]) -> None:
        """Label what is new.

        Args:
            jobs: The jobs.
            tasks: Task's name by node's id, as far as the execution tells it.
        """
        for job in jobs:
            known = self.labels.get(job.name)
            if known is None or not known.is_sure:
                self.labels[job.name] = self._label(job.name, tasks)

    def wants(self, jobs: Sequence[Job]) -> int:
        """How many calls it could use."""
        return len(self._unsure(jobs))

    async def ask(self, jobs: Sequence[Job], budget: CallBudget) -> None:
        """Read the tags of one job of each node whose task no name tells."""
        chosen = [each for each in self._unsure(jobs).items() if budget.take()]
        self._asked.update(node for node, _ in chosen)
        found = await asyncio.gather(*(self._read(job) for _, job in chosen))
        for (node, job), tags in zip(chosen, found, strict=True):
            self._tags[job.name] = tags
            self._task_of_node[node] = tags.get("cdao:task", "")

    def _label(self, name: str, tasks: Mapping[str, str]) -> JobLabel:
        tags = self._tags.get(name)
        if tags is not None:
            return label_of(name, tags, self._prefix, tasks)
        label = label_of(name, {}, self._prefix, tasks)
        task = "" if label.is_sure else self._task_of_node.get(_node_key(name, label), "")
        if task:
            return label_of(name, {"cdao:task": task, "cdao:node": label.node})
        return label

    def _unsure(self, jobs: Sequence[Job]) -> dict[str, Job]:
        found: dict[str, Job] = {}
        for job in jobs:
            label = self.labels.get(job.name)
            if label is not None and not label.is_sure:
                key = _node_key(job.name, label)
                if key not in self._asked:
                    found.setdefault(key, job)
        return found

    async def _read(self, job: Job) -> Mapping[str, str]:
        try:
            return await tags_of(self._clients, job.arn)
        except CdaoError:
            return {}  # not allowed or throttled: the name tells enough


def _node_key(name: str, label: JobLabel) -> str:
    """What jobs of one task have in common: the execution, the node and what is left of its name.

    The elements of a map are one node.
    """
    execution = name.partition("-")[0]
    return f"{execution}/{_ELEMENT.sub('', label.node)}/{label.task}"
