from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING

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
