"""A plan for people: one table of the steps, then each step in a few lines."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from cdao_sdk.cli.hanging import print_hanging
from cdao_sdk.flyte.planning import wording

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cdao_sdk.flyte.planning.values import Plan, PlannedImage, PlannedJob

__all__ = ["show"]

_LABEL = 9
_INDENT = _LABEL + 3


def show(plan: Plan, console: Console | None = None) -> None:
    """Print a plan.

    Args:
        plan: The plan.
        console: Where to; by default standard output.
    """
    to = console or Console(highlight=False)
    for line in _head(plan):
        print_hanging(to, line, _INDENT)
    if plan.jobs:
        to.print()
        to.print(_table(plan))
    for line in _total(plan):
        to.print(line)
    base = _base(plan)
    for job in plan.jobs:
        to.print()
        for line in _details(job, plan, base):
            print_hanging(to, line, _INDENT)
    for line in _others(plan):
        to.print(line)


def _line(label: str, value: str | Text, style: str = "") -> Text:
    text = value if isinstance(value, Text) else Text(value, style=style)
    return Text.assemble((f"  {label:<{_LABEL}} ", "dim"), text)


# --- what all steps share ---


def _head(plan: Plan) -> Iterator[Text]:
    yield Text.assemble((wording.title(plan), "bold"), (f"  {wording.jobs(plan)}", "dim"))
    yield _line("where", f"{plan.place}, {plan.region}")
    if role := _shared([job.role_arn for job in plan.jobs]):
        yield _line("role", role)
    if base := _base(plan):
        yield _line("below", base)
    for source, target in plan.uploads.items():
        yield _line("uploads", f"{source} → {_short(target, base)}")
    if shared := _shared([_own_tags(job) for job in plan.jobs]):
        yield _line("tags", shared)


def _own_tags(job: PlannedJob) -> str:
    """The user's tags."""
    own = (f"{name}={value}" for name, value in job.tags.items() if not name.startswith("cdao:"))
    return ", ".join(own)


def _shared(values: Sequence[str]) -> str:
    return values[0] if len(set(values)) == 1 else ""


def _base(plan: Plan) -> str:
    """The prefix below which a run writes; shown once, and as … from then on."""
    marker = f"/{plan.execution}/"
    uris = [uri for job in plan.jobs for uri in job.outputs]
    bases = {uri.partition(marker)[0] + marker.rstrip("/") for uri in uris if marker in uri}
    return bases.pop() if len(bases) == 1 else ""


def _short(uri: str, base: str) -> str:
    if uri.startswith("s3://<bucket>/"):
        return uri.removeprefix("s3://<bucket>/")
    return f"…{uri[len(base) :]}" if base and uri.startswith(f"{base}/") else uri


# --- the table ---


def _table(plan: Plan) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    for title in wording.HEAD:
        right = title in ("LIMIT", "AT MOST")
        table.add_column(title, justify="right" if right else "left", overflow="fold")
    for job in plan.jobs:
        step, *facts, price = wording.row(job)
        node, _, function = step.partition(" ")
        table.add_row(
            Text.assemble((f"{node} ", "dim"), (function, "bold")),
            *facts,
            Text(price, style="" if job.cost.usd is not None else "yellow"),
        )
    return table


def _total(plan: Plan) -> Iterator[Text]:
    if words := wording.totals(plan):
        yield Text(f"\n{words}" if plan.jobs else words, style="bold" if plan.jobs else "yellow")
    elif plan.jobs:
        yield Text()
    for sentence in wording.unknown_costs(plan):
        yield Text(sentence, style="yellow")


# --- one step ---


def _details(job: PlannedJob, plan: Plan, base: str) -> Iterator[Text]:
    condition = (f"  {job.condition}" if job.condition else "", "cyan")
    yield Text.assemble((f"{job.node} ", "dim"), (job.function, "bold"), condition)
    first = "" if job.elements == 1 else f" (the first of {job.elements or 'several'})"
    yield _line("job", f"{job.job_name}{first}")
    yield _line("image", _image_words(job.image))
    if job.image.name:
        yield _line("", job.image.uri, "dim")
    if not _shared([each.role_arn for each in plan.jobs]):
        yield _line("role", job.role_arn)
    if job.distribution:
        yield _line("starts", job.distribution)
    yield from _inputs(job, base)
    if job.hyperparameters:
        pairs = (f"{name}={value}" for name, value in job.hyperparameters.items())
        yield _line("hyper", ", ".join(pairs))
    if job.secrets:
        yield _line("secrets", ", ".join(job.secrets))
    for number, uri in enumerate(job.outputs):
        yield _line("" if number else "writes", _short(uri, base))
    if job.attempts > 1:
        yield _line("attempts", str(job.attempts))
    tags = _own_tags(job)
    if tags and not _shared([_own_tags(each) for each in plan.jobs]):
        yield _line("tags", tags)
    for note in job.notes:
        yield _line("note", note, "yellow")


def _image_words(image: PlannedImage) -> str:
    if not image.name:
        return image.uri
    python = f" · Python {image.python}" if image.python else ""
    return f"{image.name} {image.version}{python}{_support(image.end_of_support)}"


def _support(ends: str | None) -> str:
    if not ends:
        return ""
    today = datetime.now(timezone.utc).date().isoformat()
    return f" · support ended {ends}" if ends < today else f" · supported until {ends}"


def _inputs(job: PlannedJob, base: str) -> Iterator[Text]:
    """Each parameter with its value and what it becomes; then what else the job reads."""
    left = {channel.name: channel for channel in job.channels}
    label = "inputs"
    for parameter in job.parameters:
        name = parameter.channel or parameter.name
        channel = left.pop("model" if parameter.becomes == "model" else name, None)
        value = f" = {parameter.value}"
        why = parameter.why.removeprefix(f"{parameter.name} ")
        if channel is not None:
            value = f" ← {_short(channel.source, base)}"
            why = f"{why}; {channel.mode} mode"
        yield _line(label, Text(f"{parameter.name}{value}"))
        yield _line("", f"  {why}", "dim")
        label = ""
    for channel in left.values():
        if not channel.is_ours:
            yield _line(label, f"{channel.name} ← {_short(channel.source, base)}")
            label = ""


def _others(plan: Plan) -> Iterator[Text]:
    if plan.others:
        yield Text("\nOther steps")
    for step in plan.others:
        why = (f"  {step.why}", "yellow" if step.is_open else "dim")
        yield Text.assemble((f"  {step.node} ", "dim"), step.name, why)
