"""Metrics that SageMaker finds in a training job's log by regular expressions."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


def logged_metric_regex(name: str) -> str:
    r"""What finds a metric that the body logs with ``log_metric``.

    Example:
        >>> print(logged_metric_regex("auc"))
        \[cdao:metric\] auc=(\S+)
    """
    return rf"\[cdao:metric\] {re.escape(name)}=(\S+)"


def metric_problems(definitions: Mapping[str, str]) -> Iterator[str]:
    """What SageMaker would refuse, one sentence each.

    Args:
        definitions: Regular expression by metric.
    """
    if len(definitions) > 40:
        yield f"{len(definitions)} metrics; SageMaker takes 40"
    for name, regex in definitions.items():
        shown = repr(name[:80])
        if not re.fullmatch(r".{1,255}", name):
            yield f"metric name {shown}: 1 to 255 characters in one line"
        if not re.fullmatch(r".{1,500}", regex):
            yield f"metric {shown}: its regex has {len(regex)} characters; 1 to 500 in one line"
        elif (fault := _fault(regex)) is not None:
            yield f"metric {shown}: {regex[:80]!r} is no regular expression: {fault}"


def _fault(regex: str) -> str | None:
    try:
        re.compile(regex)
    except re.error as error:
        return str(error)
    return None
