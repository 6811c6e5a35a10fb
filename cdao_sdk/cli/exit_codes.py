"""What the command's exit code tells."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

from cdao_sdk import errors

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["OUTCOME_CODES", "ExitCode", "exit_code_of"]


class ExitCode(IntEnum):
    """Exit codes of ``cdao``; 2 is click's own for a wrong command line."""

    SUCCESS = 0
    FAILED = 1
    BAD_INPUT = 2
    STOPPED = 3
    REFUSED = 4
    TIMEOUT = 124
    INTERRUPTED = 130


# First match wins.
_CODES: Mapping[type[errors.CdaoError], ExitCode] = {
    errors.ConfigurationError: ExitCode.BAD_INPUT,
    errors.SpecError: ExitCode.BAD_INPUT,
    errors.PlanError: ExitCode.BAD_INPUT,
    errors.NotFound: ExitCode.BAD_INPUT,
    errors.SubmissionError: ExitCode.REFUSED,
    errors.JobFailed: ExitCode.FAILED,
    errors.JobStopped: ExitCode.STOPPED,
    errors.ExecutionTimeout: ExitCode.TIMEOUT,
}


def exit_code_of(error: BaseException) -> ExitCode:
    """The exit code for an error; 1 for what is not one of ours."""
    found = (code for kind, code in _CODES.items() if isinstance(error, kind))
    return next(found, ExitCode.FAILED)


OUTCOME_CODES: Mapping[str, ExitCode] = {
    "running": ExitCode.SUCCESS,
    "succeeded": ExitCode.SUCCESS,
    "failed": ExitCode.FAILED,
    "stopped": ExitCode.STOPPED,
}
"""The exit code for each outcome of a snapshot."""
