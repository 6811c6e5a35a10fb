"""What Flyte's own options change in a job's spec: ``interruptible`` and ``timeout``."""

# flytekit ships no type information: what comes from it is unknown to the checker.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false

from __future__ import annotations

import logging
import math
from datetime import timedelta
from typing import TYPE_CHECKING

from flytekit.models.task import TaskExecutionMetadata

if TYPE_CHECKING:
    from typing import Any

    from flytekit.models.task import TaskTemplate

    from cdao_sdk.kinds.spec import JobSpec

__all__ = ["keep_interruptible", "spec_for_attempt", "with_timeout"]

logger = logging.getLogger(__name__)

GRACE_SECONDS = 60
"""How much longer SageMaker lets a job run than Flyte does, which stops it itself."""


def spec_for_attempt(
    spec: JobSpec, template: TaskTemplate, metadata: TaskExecutionMetadata | None
) -> JobSpec:
    """The spec of one attempt.

    Args:
        spec: The task's.
        template: Its template.
        metadata: What Propeller says of this attempt, if it says something.
    """
    own = template.metadata
    timeout = getattr(own, "timeout", None)
    if isinstance(timeout, timedelta):
        spec = with_timeout(spec, timeout.total_seconds())
    # Propeller's word has gone through node, task and execution; the template is the task's alone.
    said = _said_interruptible(metadata)
    interruptible = getattr(own, "interruptible", None) if said is None else said
    return _on_spot(spec) if interruptible else spec


def _said_interruptible(metadata: TaskExecutionMetadata | None) -> bool | None:
    """Propeller's word: in the field for it, or, as 1.16.8 has it, in a label alone."""
    said: bool | None = getattr(metadata, "interruptible", None)
    labels: dict[str, str] = getattr(metadata, "labels", None) or {}
    if said is None and labels.get("interruptible") in ("true", "false"):
        return labels["interruptible"] == "true"
    return said


def with_timeout(spec: JobSpec, seconds: float) -> JobSpec:
    """A job that its control plane has forgotten ends soon after the attempt would have."""
    limit = math.ceil(seconds) + GRACE_SECONDS
    if not seconds or getattr(spec, "max_runtime_seconds", 0) <= limit:
        return spec
    return spec.model_copy(update={"max_runtime_seconds": limit})


def _on_spot(spec: JobSpec) -> JobSpec:
    """The spec on spot instances, unless it says itself which it wants or has none."""
    if spec.component != "training" or "use_spot_instances" in spec.model_fields_set:
        return spec
    spot = spec.model_copy(update={"use_spot_instances": True}).completed()
    problems = [problem.text for problem in spot.problems()]
    if problems:
        logger.warning("interruptible is ignored: %s", "; ".join(problems))
        return spec
    return spot


def keep_interruptible() -> None:
    """Let flytekit's connector service hand on whether an attempt is interruptible.

    flytekit 1.16.31 reads the message without it. Propeller 1.16.8 does not send it; one that does
    also says how many attempts there are, and then ``False`` is a word and no silence.
    """
    read = TaskExecutionMetadata.from_flyte_idl
    keeps = getattr(read, "keeps_interruptible", False)
    if keeps or hasattr(TaskExecutionMetadata, "interruptible"):
        return

    def from_flyte_idl(message: Any) -> TaskExecutionMetadata:
        metadata: Any = read(message)
        if message.interruptible or message.max_attempts:
            metadata.interruptible = message.interruptible
        return metadata

    from_flyte_idl.keeps_interruptible = True  # type: ignore[attr-defined]
    TaskExecutionMetadata.from_flyte_idl = staticmethod(from_flyte_idl)  # type: ignore[method-assign]
