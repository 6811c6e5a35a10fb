from __future__ import annotations

import io
import json
import re
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cdao_sdk.monitor.json_lines import JsonView, job_document

if TYPE_CHECKING:
    from collections.abc import Callable

    from cdao_sdk.aws.watch import Job
    from cdao_sdk.monitor.snapshot import Snapshot


def test_each_change_is_an_object_of_its_own(snapshot: Snapshot) -> None:
    stream = io.StringIO()
    view = JsonView(stream)
    view.paint(snapshot)
    view.paint(snapshot)
    view.finish(snapshot)
    events = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [event["event"] for event in events] == ["job"] * 4 + ["end"]
    by_label = {event["label"]: event for event in events[:-1]}
    assert by_label["train"]["secondary_status"] == "Downloading"
    assert by_label["evaluate"]["log_tail"][-1] == "ValueError: no column"
    assert events[-1]["outcome"] == "running"


def test_what_json_has_no_word_for_is_null(
    make_job: Callable[..., Job], take_snapshot: Callable[..., Snapshot]
) -> None:
    (row,) = take_snapshot([make_job(metrics={"loss": float("nan"), "auc": 0.5})]).jobs
    document = job_document(row)
    assert document["metrics"] == {"loss": None, "auc": 0.5}
    assert document["ended"] is None
    json.dumps(document, allow_nan=False)


def events_of(snapshots: list[Snapshot]) -> list[dict[str, object]]:
    stream = io.StringIO()
    view = JsonView(stream)
    for snapshot in snapshots:
        view.paint(snapshot)
    view.finish(snapshots[-1])
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_notes_and_a_sign_of_life_are_events(rich_snapshot: Snapshot) -> None:
    noted = replace(rich_snapshot, note="asked to wait: Rate exceeded")
    late = replace(rich_snapshot, taken=rich_snapshot.taken + timedelta(seconds=70))
    events = events_of([rich_snapshot, noted, rich_snapshot, rich_snapshot, late])
    assert [event["event"] for event in events[5:]] == ["note", "note", "progress", "end"]
    assert [event["note"] for event in events[5:7]] == ["asked to wait: Rate exceeded", None]
    assert events[7]["states"] == {
        "waiting": 1,
        "running": 1,
        "succeeded": 2,
        "failed": 1,
        "stopped": 0,
    }
    assert events[7]["cost_usd"] == pytest.approx(0.5223)


def test_what_becomes_known_after_a_job_s_end_is_told_at_the_end(rich_snapshot: Snapshot) -> None:
    first, *others = rich_snapshot.jobs
    known = replace(rich_snapshot, jobs=(replace(first, metrics={"rows": 7.0}), *others))
    events = events_of([rich_snapshot, known])
    assert [event["event"] for event in events] == ["job"] * 6 + ["end"]
    assert (events[5]["name"], events[5]["metrics"]) == (first.name, {"rows": 7.0})


def test_a_job_tells_all_that_is_known(rich_snapshot: Snapshot) -> None:
    training, failed = job_document(rich_snapshot.jobs[1]), job_document(rich_snapshot.jobs[4])
    assert training["progress"] == 0.42
    assert training["expected_seconds"] == 1500.0
    assert training["utilization"] == {"CPUUtilization": 12.0, "GPUUtilization": 96.0}
    assert isinstance(failed["diagnosis"], dict)
    assert failed["diagnosis"]["class"] == "data"


def test_the_documentation_names_every_field(rich_snapshot: Snapshot) -> None:
    page = (Path(__file__).parents[2] / "docs" / "watching.md").read_text(encoding="utf-8")
    documented = set(re.findall(r"^\| `(\w\w+)`", page, re.MULTILINE))
    events = events_of([rich_snapshot, replace(rich_snapshot, note="x")])
    fields = {field for event in events for field in event}
    assert fields <= documented
    assert documented - fields <= {"id", "outputs", "url"}  # of `cdao run` alone
