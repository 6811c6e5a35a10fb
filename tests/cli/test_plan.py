from __future__ import annotations

import io
import json
import re
from typing import TYPE_CHECKING, Any

import pytest
from rich.console import Console

from cdao_sdk._plan import plan
from cdao_sdk.cli.entities import find_entity, load_module
from cdao_sdk.cli.plan_view import show
from cdao_sdk.flyte.planning.values import (
    OtherStep,
    Plan,
    PlannedChannel,
    PlannedCost,
    PlannedImage,
    PlannedJob,
    PlannedParameter,
)

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

    Cdao = Callable[..., subprocess.CompletedProcess[str]]


def shown(planned: Plan, width: int) -> str:
    text = io.StringIO()
    show(planned, Console(file=text, width=width, color_system=None))
    return text.getvalue()


def job(**changes: Any) -> PlannedJob:
    facts: dict[str, Any] = {
        "node": "n0",
        "function": "train",
        "task": "flow.train",
        "kind": "training",
        "title": "Training",
        "job_name": "x-n0-train-abcdefgh-0",
        "instance_type": "ml.g5.2xlarge",
        "instance_count": 2,
        "spot": True,
        "limit_seconds": 5400,
        "image": PlannedImage("1.dkr.ecr/own:1"),
        "role_arn": "arn:aws:iam::123456789012:role/r",
        "outputs": ("s3://bucket/cdao/p/d/x/n0",),
        "channels": (
            PlannedChannel("train", "s3://<bucket>/<output o0 of n1>", "FastFile"),
            PlannedChannel("cdao", "s3://bucket/cdao/runtime/", "File", is_ours=True),
        ),
        "parameters": (
            PlannedParameter("data", "channel", "train", "<o>", "data feeds channel 'train'"),
            PlannedParameter("depth", "hyperparameter", "", "6", "depth is a hyperparameter"),
        ),
        "hyperparameters": {"depth": "6"},
        "tags": {"cdao:node": "n0", "team": "risk"},
        "attempts": 3,
        "elements": None,
        "condition": "if depth > 3",
        "branch": (),
        "notes": ("the image is old",),
        "cost": PlannedCost(None, 1.5, 4.5, "2026-08-20", "how many elements is not known"),
        "requests": (),
        "objects": (),
    }
    return PlannedJob(**{**facts, **changes})


def planned(*jobs: PlannedJob, others: tuple[OtherStep, ...] = ()) -> Plan:
    return Plan("flow.pipeline", "x", "AWS", "us-east-1", jobs, others, {})


@pytest.mark.parametrize("width", [80, 120])
def test_the_view_tells_what_matters(width: int) -> None:
    cheap = job(node="n1", elements=1, cost=PlannedCost(4.05, 1.5, 2.7, "2026-08-20"))
    step = OtherStep("n2", "later", "@dynamic: its steps are decided at run time", is_open=True)
    text = shown(planned(job(), cheap, others=(step,)), width)
    for words in (
        "pipeline  2 jobs · nothing was created",
        "2 x ml.g5.2xlarge spot x n",
        "90 min",
        "At most $4.05 for 1 of 2 jobs, storage excluded, list prices of 2026-08-20.",
        "Not in it: train: how many elements is not known.",
        "data ← <output o0 of n1>",
        "feeds channel 'train'; FastFile mode",
        "depth = 6",
        "attempts  3",
        "the image is old",
        "tags      team=risk",
        "n2 later  @dynamic",
        "n0 train  if depth > 3",
        "(the first of several)",
    ):
        assert words in text
    rows = [line for line in text.splitlines() if line.startswith(("STEP", "n0 train  T"))]
    assert max(map(len, rows)) <= width


@pytest.mark.parametrize(
    ("ends", "words"),
    [("2020-01-01", "support ended 2020-01-01"), ("2999-01-01", "supported until 2999-01-01")],
)
def test_the_end_of_support_is_told(ends: str, words: str) -> None:
    image = PlannedImage("uri", "pytorch", "1.8.0", "3.6", ends)
    assert f"pytorch 1.8.0 · Python 3.6 · {words}" in shown(planned(job(image=image)), 80)


def test_a_plan_without_jobs_says_so() -> None:
    assert "No step is a SageMaker job." in shown(planned(), 80)


def test_json_is_the_plan_with_its_requests(cdao: Cdao, flow: str) -> None:
    done = cdao("plan", flow, "good", "--input", "number=21", "--name", "abc", "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert set(document) == {
        *("version", "name", "execution", "place", "region"),
        *("nodes", "others", "uploads", "totals"),
    }
    [node] = document["nodes"]
    [request] = node["requests"]
    assert request["operation"] == "CreateProcessingJob"
    assert request["parameters"]["ProcessingJobName"] == node["job_name"]
    assert re.fullmatch(r"abc-n0-double-[a-z2-7]{8}-0", node["job_name"])
    assert document["totals"]["jobs"] == 1


def test_what_is_shown_is_plain_text_in_a_pipe(cdao: Cdao, flow: str, tmp_path: Path) -> None:
    state = tmp_path / "state"
    done = cdao("plan", flow, "good", "--input", "number=21", CDAO_STATE_DIR=str(state))
    assert done.returncode == 0, done.stderr
    assert "\x1b" not in done.stdout
    assert "n0 double" in done.stdout
    assert "number = 21" in done.stdout
    assert not state.exists()


def test_bad_input_is_exit_code_2_and_names_all_of_it(cdao: Cdao, flow: str) -> None:
    done = cdao("plan", flow, "good", "--input", "number=x", "--input", "noot=1")
    assert done.returncode == 2
    assert "number='x'" in done.stderr
    assert "Did you mean 'note'?" in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_the_shipped_example_has_a_plan() -> None:
    import cdao_sdk.examples

    folder = cdao_sdk.examples.__path__[0]
    entity: Any = find_entity(
        load_module("cdao_sdk.examples.credit_scoring"), "credit_scoring_pipeline"
    )
    made = plan(entity, {"data": f"{folder}/german_credit.csv"})
    assert [j.kind for j in made.jobs] == ["processing", "training", "transform", "processing"]
    assert all(j.image.python for j in made.jobs)
    assert "4 jobs" in shown(made, 80)
