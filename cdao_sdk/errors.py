"""Everything that CDAO SDK raises on purpose.

::

    CdaoError
    ├── ConfigurationError     a setting is missing, unknown or malformed
    ├── SpecError              a decorator's options or the task's body; raised at decoration
    ├── PlanError              inputs that do not fit, before anything is created
    ├── SubmissionError        SageMaker or Flyte refused the request
    │   └── ResourcesUnavailable   quota, capacity, throttling: worth another try
    ├── JobFailed              a job ended Failed, or without a result
    │   └── JobInterrupted     a spot reclaim or the service's own fault: worth another try
    ├── JobStopped             a job or an execution was stopped
    ├── ExecutionTimeout       ``wait(timeout=…)`` ran out; the execution goes on
    └── NotFound               no such execution, job, log or file

Each message says what happened, which value, and what to do. ``problems`` lists every problem of
one input when there are several.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = [
    "CdaoError",
    "ConfigurationError",
    "ExecutionTimeout",
    "JobFailed",
    "JobInterrupted",
    "JobStopped",
    "NotFound",
    "PlanError",
    "ResourcesUnavailable",
    "SpecError",
    "SubmissionError",
    "did_you_mean",
]


class CdaoError(Exception):
    """Root of all errors of this package.

    Args:
        message: What happened, with the value, the rule and the mend.
        problems: The single problems, when one input has several; they are appended to the message.
    """

    def __init__(self, message: str, *, problems: Sequence[str] = ()) -> None:
        self.message = message
        self.problems = tuple(problems)
        super().__init__(message, *self.problems)

    def __str__(self) -> str:
        return "\n".join([self.message, *(f"  - {problem}" for problem in self.problems)])

    def __reduce__(self) -> tuple[object, ...]:
        # Keyword-only arguments do not survive Exception's own pickling.
        return (_rebuild, (type(self), self.message, self.problems, self.__dict__))


def _rebuild(
    cls: type[CdaoError], message: str, problems: tuple[str, ...], state: dict[str, object]
) -> CdaoError:
    error = cls(message, problems=problems)
    error.__dict__.update(state)
    return error


class ConfigurationError(CdaoError):
    """A setting is missing, unknown or malformed."""


class SpecError(CdaoError):
    """A decorator's options, or the body of the task, cannot become a SageMaker job."""


class PlanError(CdaoError):
    """Inputs or settings that do not fit the workflow; nothing was created."""


class SubmissionError(CdaoError):
    """SageMaker or Flyte refused a request.

    Attributes:
        code: The service's own error code, such as ``"ValidationException"``; empty if none.
    """

    def __init__(self, message: str, *, problems: Sequence[str] = (), code: str = "") -> None:
        super().__init__(message, problems=problems)
        self.code = code


class ResourcesUnavailable(SubmissionError):
    """A quota, capacity or request rate stands in the way now; the same request may pass later."""


class JobFailed(CdaoError):
    """A SageMaker job failed.

    Attributes:
        job_name: The job's name; empty if no job was made.
        reason: SageMaker's FailureReason, word for word.
        user_traceback: The innermost frames of the user's code, if the job reported them.
        log_tail: The job's last log lines, oldest first.
    """

    def __init__(
        self,
        message: str,
        *,
        problems: Sequence[str] = (),
        job_name: str = "",
        reason: str = "",
        user_traceback: str = "",
        log_tail: Sequence[str] = (),
    ) -> None:
        super().__init__(message, problems=problems)
        self.job_name = job_name
        self.reason = reason
        self.user_traceback = user_traceback
        self.log_tail = tuple(log_tail)


class JobInterrupted(JobFailed):
    """A spot reclaim or a fault of the service ended the job; a retry may succeed."""


class JobStopped(CdaoError):
    """A job or an execution was stopped before it was done."""


class ExecutionTimeout(CdaoError):
    """``wait(timeout=…)`` ran out. The execution goes on."""


class NotFound(CdaoError):
    """No such execution, job, log stream or file."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A trailing sentence that offers the nearest known name, or an empty string.

    Args:
        name: What the user wrote.
        known: The names that would have been right.

    Returns:
        ``" Did you mean 'instance_type'?"`` with its leading blank, or ``""``.

    Example:
        >>> did_you_mean("instance_typ", ["instance_type", "role"])
        " Did you mean 'instance_type'?"
    """
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f" Did you mean {near[0]!r}?" if near else ""
