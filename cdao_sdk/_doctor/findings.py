"""What a check finds, and how checks are run: at once, each within a limit."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from cdao_sdk.errors import CdaoError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

__all__ = ["Check", "Finding", "Status", "failed", "found", "run_checks", "skipped", "warned"]

Status = Literal["ok", "warn", "fail", "skip"]


@dataclass(frozen=True)
class Finding:
    """What one check found.

    Attributes:
        name: What was looked at.
        status: ``"ok"``, ``"warn"``, ``"fail"`` or ``"skip"``.
        text: What was found, in one line.
        mend: What to do; empty if nothing has to be done.
    """

    name: str
    status: Status
    text: str
    mend: str = ""


@dataclass(frozen=True)
class Check:
    """One question, asked when ``ask`` is called.

    Attributes:
        name: What is looked at.
        ask: Finds out.
        limit_seconds: What it gets; None: as much as the others.
    """

    name: str
    ask: Callable[[], Awaitable[Finding]]
    limit_seconds: float | None = None


def found(name: str, text: str) -> Finding:
    """All is well."""
    return Finding(name, "ok", text)


def warned(name: str, text: str, mend: str) -> Finding:
    """It may go wrong, or cannot be known."""
    return Finding(name, "warn", text, mend)


def failed(name: str, text: str, mend: str) -> Finding:
    """It will go wrong."""
    return Finding(name, "fail", text, mend)


def skipped(name: str, text: str) -> Finding:
    """There is nothing to look at."""
    return Finding(name, "skip", text)


async def run_checks(checks: Sequence[Check], limit_seconds: float) -> list[Finding]:
    """Run all checks at once.

    Args:
        checks: The checks.
        limit_seconds: What each of them gets that has no limit of its own.

    Returns:
        One finding a check, in the checks' order.
    """
    return list(await asyncio.gather(*(_run(check, limit_seconds) for check in checks)))


async def _run(check: Check, limit_seconds: float) -> Finding:
    limit_seconds = check.limit_seconds or limit_seconds
    try:
        return await asyncio.wait_for(check.ask(), limit_seconds)
    except (TimeoutError, asyncio.TimeoutError):
        text = f"no answer within {limit_seconds:g} s"
        return failed(
            check.name, text, "see whether network, proxy or a busy machine is in the way"
        )
    except CdaoError as error:
        return failed(check.name, first_line(error), "see the message")
    except Exception as error:  # noqa: BLE001 # one check that breaks must not hide the others
        text = f"the check itself broke: {type(error).__name__}: {first_line(error)}"
        return failed(check.name, text, "report this, with the text above")


def first_line(error: BaseException) -> str:
    """The first line of what an error says."""
    lines = str(error).splitlines()
    return lines[0] if lines else type(error).__name__
