"""A plan for people: one table of the steps, then each step in a few lines."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from cdao_sdk.cli.hanging import print_hanging

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
    jobs = "1 job" if len(plan.jobs) == 1 else f"{len(plan.jobs)} jobs"
    name = plan.name.rpartition(".")[2]
    yield Text.assemble((name, "bold"), (f"  {jobs} · nothing was created", "dim"))
    yield _line("where", f"{plan.place}, {plan.region}")
    if role := _shared([job.role_arn for job in plan.jobs]):
        yield _line("role", role)
    if base := _base(plan):
        yield _line("below", base)
    for source, target in plan.uploads.items():
        yield _line("uploads", f"{source} → {_short(target, base)}")
    own = [{k: v for k, v in job.tags.items() if not k.startswith("cdao:")} for job in plan.jobs]
    shared = dict.fromkeys(name for tags in own for name in tags)
    if shared:
        words = (f"{name}={_shared([t.get(name, '') for t in own]) or '…'}" for name in shared)
        yield _line("tags", ", ".join(words))


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
    for title in ("STEP", "KIND", "INSTANCES", "LIMIT", "AT MOST"):
        right = title in ("LIMIT", "AT MOST")
        table.add_column(title, justify="right" if right else "left", overflow="fold")
    for job in plan.jobs:
        price = _price(job)
        table.add_row(
            Text.assemble((f"{job.node} ", "dim"), (job.function, "bold")),
            job.title,
            _instances(job),
            _duration(job.limit_seconds),
            Text(price, style="" if price.startswith("$") else "yellow"),
        )
    return table


def _instances(job: PlannedJob) -> str:
    count = f"{job.instance_count} x " if job.instance_count > 1 else ""
    each = "" if job.elements == 1 else f" x {job.elements or 'n'}"
    return f"{count}{job.instance_type}{' spot' if job.spot else ''}{each}"


def _duration(seconds: int | None) -> str:
    if seconds is None:
        return "none"
    if seconds % 3600 == 0:
        return f"{seconds // 3600} h"
    return f"{seconds // 60} min" if seconds % 60 == 0 else f"{seconds} s"


def _price(job: PlannedJob) -> str:
    if job.cost.usd is not None:
        return _dollars(job.cost.usd)
    return "no price" if job.cost.usd_per_hour is None else "open"


def _dollars(usd: float) -> str:
    return f"${usd:,.2f}" if usd >= 0.005 or usd == 0 else "< $0.01"


def _total(plan: Plan) -> Iterator[Text]:
    if not plan.jobs:
        is_open = any(step.is_open for step in plan.others)
        words = "No job is known before the run." if is_open else "No step is a SageMaker job."
        yield Text(words, style="yellow")
        return
    priced = [job for job in plan.jobs if job.cost.usd is not None]
    if priced:
        some = (
            "" if len(priced) == len(plan.jobs) else f" for {len(priced)} of {len(plan.jobs)} jobs"
        )
        dates = sorted({job.cost.as_of for job in priced if job.cost.as_of})
        when = f", list prices of {dates[0]}" if dates else ""
        most = (_dollars(plan.max_usd), "bold")
        yield Text.assemble("\nAt most ", most, f"{some}, storage excluded{when}.")
    reasons: dict[str, list[str]] = {}
    for job in plan.jobs:
        if job.cost.reason:
            reasons.setdefault(job.cost.reason, []).append(job.function)
    if reasons and not priced:
        yield Text()
    for reason, functions in reasons.items():
        yield Text(
            f"Not in it: {', '.join(dict.fromkeys(functions))}: {reason}."
            if priced
            else f"Cost unknown: {', '.join(dict.fromkeys(functions))}: {reason}.",
            style="yellow",
        )


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
    yield from _inputs(job, base)
    if job.hyperparameters:
        pairs = (f"{name}={value}" for name, value in job.hyperparameters.items())
        yield _line("hyper", ", ".join(pairs))
    for uri in job.outputs:
        yield _line("writes", _short(uri, base))
    if job.attempts > 1:
        yield _line("attempts", str(job.attempts))
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
