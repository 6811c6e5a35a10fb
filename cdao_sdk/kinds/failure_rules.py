"""The rows of ``catalog/failures.json``, as rules that texts are tried with."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cdao_sdk.catalog.tables import table
from cdao_sdk.kinds.literals import literals

if TYPE_CHECKING:
    from cdao_sdk.kinds.job import FailureClass


@dataclass(frozen=True)
class Rule:
    """One row of the table: how a failure is recognised, and what is said of it.

    Attributes:
        failure_class: See :class:`Diagnosis`.
        cause: One sentence; ``{name}``, ``{name|otherwise}`` and ``{name: … %s}`` take what the
            pattern found.
        mend: Likewise.
        retryable: ``None`` leaves it to the class.
        expression: Found in a FailureReason, an ExitMessage or a log line; empty if none is.
        words: A text that it is found in has one of them, in lower case; empty if any may do.
        codes: Error codes of refused calls.
        exit_codes: Of the container's process.
        statuses: Secondary statuses, or statuses.
        generic: It says only that something failed: what a log line or exit code says is better.
        yields_to: Classes that are better when a log line or exit code shows them.
        log_only: It counts where user code speaks, not where SageMaker does.
        example: A text that it recognises.
        verbatim: Whether the source words the example so, but for what was shortened.
        source: Where that text is from.
        as_of: ISO date of the look-up.
    """

    failure_class: FailureClass
    cause: str
    mend: str
    retryable: bool | None
    expression: str
    words: tuple[str, ...]
    codes: tuple[str, ...]
    exit_codes: tuple[int, ...]
    statuses: tuple[str, ...]
    generic: bool
    yields_to: tuple[str, ...]
    log_only: bool
    example: str
    verbatim: bool
    source: str
    as_of: str

    @functools.cached_property
    def pattern(self) -> re.Pattern[str] | None:
        """The expression, made ready when it is first tried: most never are."""
        return re.compile(self.expression, re.I | re.M) if self.expression else None


@functools.cache
def rules() -> tuple[Rule, ...]:
    """The rows of the table; the first that fits wins."""
    return tuple(
        Rule(
            failure_class=row["class"],
            cause=row["cause"],
            mend=row["mend"],
            retryable=row.get("retryable"),
            expression=row.get("pattern", ""),
            words=literals(row.get("pattern", "")),
            codes=tuple(row.get("codes", ())),
            exit_codes=tuple(row.get("exit_codes", ())),
            statuses=tuple(row.get("statuses", ())),
            generic=row.get("generic", False),
            yields_to=tuple(row.get("yields_to", ())),
            log_only=row.get("log_only", False),
            example=row["example"],
            verbatim=row.get("verbatim", True),
            source=row["source"],
            as_of=row["as_of"],
        )
        for row in table("failures")["rows"]
    )


def worth_trying(text: str, *, log: bool) -> list[Rule]:
    """The rules that may be found in a text."""
    lower = text.lower()
    return [
        rule
        for rule in rules()
        if rule.expression
        and (log or not rule.log_only)
        and (not rule.words or any(word in lower for word in rule.words))
    ]
