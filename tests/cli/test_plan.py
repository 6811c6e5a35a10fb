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
    PlannedInstances,
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
        "instance_groups": (),
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
        "distribution": "torchrun",
        "secrets": ("db:password",),
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
        "2 x ml.g5.2xlarge spot, n jobs",
        "starts    torchrun",
        "secrets   db:password",
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


def test_groups_of_instances_are_told_apart() -> None:
    groups = (PlannedInstances("ml.m5.large", 2), PlannedInstances("ml.c5.xlarge", 1))
    text = shown(planned(job(instance_groups=groups, instance_count=3)), 120)
    assert "2 x ml.m5.large + ml.c5.xlarge spot, n jobs" in text


def test_tags_that_steps_do_not_share_stand_at_their_step() -> None:
    head, _, steps = shown(planned(job(), job(node="n1", tags={})), 80).partition("STEP")
    assert "tags" not in head
    assert steps.count("tags      team=risk") == 1


@pytest.mark.parametrize(
    ("ends", "words"),
    [("2020-01-01", "support ended 2020-01-01"), ("2999-01-01", "supported until 2999-01-01")],
)
def test_the_end_of_support_is_told(ends: str, words: str) -> None:
    image = PlannedImage("uri", "pytorch", "1.8.0", "3.6", ends)
    assert f"pytorch 1.8.0 · Python 3.6 · {words}" in shown(planned(job(image=image)), 80)


def test_a_plan_prints_as_a_line_for_each_step() -> None:
    step = OtherStep("n2", "later", "@dynamic: its steps are decided at run time", is_open=True)
    assert str(planned(job(), others=(step,))).splitlines() == [
        "pipeline  1 job · nothing was created",
        "AWS, us-east-1",
        "n0 train: Training on 2 x ml.g5.2xlarge spot, n jobs, limit 90 min, open",
        "n2 later: @dynamic: its steps are decided at run time",
        "Cost unknown: train: how many elements is not known.",
    ]


def test_a_notebook_shows_a_table_that_is_escaped() -> None:
    shown_plan: Any = planned(job(notes=("<b>old</b>",), elements=1))
    html = shown_plan._repr_html_()
    assert html.count("<tr") == 2
    assert "2 x ml.g5.2xlarge spot</td>" in html
    assert "&lt;b&gt;old&lt;/b&gt;" in html


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
    assert set(node) == {
        *("node", "function", "task", "kind", "title", "job_name", "instance_type"),
        *("instance_count", "instance_groups", "spot", "limit_seconds", "image", "role_arn"),
        *("outputs", "channels", "parameters", "hyperparameters", "distribution", "secrets"),
        *("tags", "attempts", "elements", "condition", "branch", "notes", "cost", "requests"),
        "objects",
    }
    assert set(document["totals"]) == {"jobs", "max_usd", "unpriced"}
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


@pytest.mark.parametrize("name", ["", "Ö x", "a/b", "-a", "0a", "a" * 64])
def test_a_name_that_flyte_gives_no_execution_is_refused(cdao: Cdao, flow: str, name: str) -> None:
    done = cdao("plan", flow, "good", "--input", "number=1", f"--name={name}")
    assert done.returncode == 2
    assert f"name={name!r}" in done.stderr


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
