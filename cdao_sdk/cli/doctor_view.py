"""A diagnosis for people: one line a check, and below it the mend."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from cdao_sdk.cli.hanging import print_hanging

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from cdao_sdk._doctor.diagnosis import Diagnosis
    from cdao_sdk._doctor.findings import Finding, Status

__all__ = ["show"]

_SIGNS: Mapping[Status, tuple[str, str]] = {
    "ok": ("✔", "green"),
    "warn": ("!", "yellow"),
    "fail": ("✖", "bold red"),
    "skip": ("-", "dim"),
}


def show(diagnosis: Diagnosis, console: Console | None = None) -> None:
    """Print a diagnosis.

    Args:
        diagnosis: What was found.
        console: Where to; by default standard output.
    """
    to = console or Console(highlight=False)
    width = max(len(finding.name) for finding in diagnosis.findings)
    for finding in diagnosis.findings:
        for line in _lines(finding, width):
            print_hanging(to, line, width + 4)
    to.print()
    to.print(_summary(diagnosis))


def _lines(finding: Finding, width: int) -> Iterator[Text]:
    sign, style = _SIGNS[finding.status]
    text_style = "dim" if finding.status == "skip" else ""
    name = (f"{finding.name:<{width}}  ", "bold")
    yield Text.assemble((f"{sign} ", style), name, (finding.text, text_style))
    if finding.mend:
        yield Text.assemble((f"{'':<{width + 4}}→ ", style), finding.mend)


def _summary(diagnosis: Diagnosis) -> Text:
    counts = {
        status: sum(finding.status == status for finding in diagnosis.findings)
        for status in ("fail", "warn")
    }
    warnings = f", {counts['warn']} to look at" if counts["warn"] else ""
    if counts["fail"]:
        return Text(f"{counts['fail']} to mend{warnings}.", style="bold red")
    return Text(f"All is well{warnings}.", style="green")
