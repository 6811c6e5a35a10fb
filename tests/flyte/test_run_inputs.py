"""What is given to `run()`: checked whole, before anything is created."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
import small_flows as flows
from flytekit.types.file import FlyteFile

import cdao_sdk
from cdao_sdk.errors import PlanError
from cdao_sdk.flyte import run_inputs

pytestmark = pytest.mark.usefixtures("on_embedded")

EVERYTHING: dict[str, object] = {
    "whole": 1,
    "real": 2,  # JSON has one kind of number
    "flag": True,
    "text": "t",
    "maybe": None,
    "items": [1, 2],
    "named": {"a": 1, "b": 2.5},
    "moment": "2026-11-23T22:00:00+00:00",
    "span": 1.5,
    "colour": "red",
    "place": {"x": 1, "y": 2, "inner": {"text": "a", "numbers": [1]}},
    "either": "x",
    "free": {"a": [1, {"b": None}]},
}


def test_json_becomes_the_declared_types() -> None:
    outputs = cdao_sdk.run(flows.everything, EVERYTHING).wait(timeout=60).outputs
    assert list(outputs.values()) == [
        1,
        2.0,
        True,
        "t",
        None,
        [1, 2],
        {"a": 1.0, "b": 2.5},
        datetime(2026, 11, 23, 22, tzinfo=timezone.utc),
        timedelta(seconds=1.5),
        flows.Colour.RED,
        flows.Point(1, 2.0, flows.Inner("a", [1])),
        "x",
        {"a": [1, {"b": None}]},
    ]


def test_everything_that_is_wrong_comes_at_once(boto: Any) -> None:
    def jobs() -> int:
        return len(boto("sagemaker").list_processing_jobs(MaxResults=100)["ProcessingJobSummaries"])

    before = jobs()
    wrong: dict[str, object] = {
        **EVERYTHING,
        "whole": "seven",
        "real": True,
        "items": [1, "two"],
        "colour": "blue",
        "moment": "yesterday",
        "place": {"x": 1, "y": 2, "iner": None},
        "txt": "t",
    }
    del wrong["text"]
    with pytest.raises(PlanError) as caught:
        cdao_sdk.run(flows.everything, wrong)
    problems = "\n".join(caught.value.problems)
    for words in (
        "whole='seven': not an int",
        "real=True: not a float",
        "items=[1, 'two']",
        "colour='blue'",
        "moment='yesterday'",
        "no field 'iner'. Did you mean 'inner'",
        "txt='t': small_flows.everything has no such input. Did you mean 'text'?",
        "text: missing; give a str",
    ):
        assert words in problems
    assert jobs() == before


@pytest.mark.parametrize("given", [str, Path, lambda path: FlyteFile(str(path))])
def test_local_file_is_uploaded(tmp_path: Path, given: Any) -> None:
    (tmp_path / "local.txt").write_text("from here")
    inputs = {"file": given(tmp_path / "local.txt")}
    assert cdao_sdk.run(flows.read, inputs).wait(timeout=60).outputs == {"o0": "from here"}


def test_local_folder_and_lists_of_files_are_uploaded(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).write_text(name.upper())
    outputs = cdao_sdk.run(flows.list_folder, {"folder": tmp_path}).wait(timeout=60).outputs
    assert outputs == {"o0": ["a", "b"]}
    files = [tmp_path / "a", str(tmp_path / "b")]
    assert cdao_sdk.run(flows.read_all, {"files": files}).wait(timeout=60).outputs == {
        "o0": ["A", "B"]
    }


def test_local_file_that_is_not_there_is_refused() -> None:
    with pytest.raises(PlanError, match=r"file='nowhere\.csv'.*no such file or folder"):
        cdao_sdk.run(flows.read, {"file": "nowhere.csv"})


def test_default_of_a_workflow_may_be_left_out_or_overridden() -> None:
    assert cdao_sdk.run(flows.doubling).wait(timeout=60).outputs == {"o0": 42}
    assert cdao_sdk.run(flows.doubling, {"number": 1}).wait(timeout=60).outputs == {"o0": 2}


def test_input_that_a_launch_plan_has_fixed_cannot_be_given() -> None:
    with pytest.raises(PlanError, match="number=3: the launch plan has fixed this input"):
        cdao_sdk.run(flows.fixed_plan, {"number": 3})


@pytest.mark.parametrize("thing", [print, "flow", 3, None])
def test_what_is_no_workflow_is_refused(thing: Any) -> None:
    with pytest.raises(PlanError, match="neither a workflow nor a task"):
        cdao_sdk.run(thing)


def test_workflow_that_cannot_be_compiled_is_refused_before_anything_is_sent() -> None:
    @cdao_sdk.sagemaker_workflow
    def broken(number: int) -> int:
        return flows.double(number=number + 1)

    with pytest.raises(PlanError, match="broken cannot be compiled: TypeError"):
        cdao_sdk.run(broken, {"number": 1})  # type: ignore[arg-type]


def test_a_file_that_has_changed_is_uploaded_again(tmp_path: Path) -> None:
    path = tmp_path / "raw.txt"
    for text in ("first", "second"):
        path.write_text(text)
        cdao_sdk.plan(flows.read, {"file": str(path)})  # leaves nothing behind either
        outputs = cdao_sdk.run(flows.read, {"file": str(path)}).wait(timeout=60).outputs
        assert outputs == {"o0": text}


@pytest.mark.parametrize(
    ("type_", "given", "read"),
    [
        (datetime, "2026-01-31T12:00:00Z", datetime(2026, 1, 31, 12, tzinfo=timezone.utc)),
        (date, "2026-01-31", date(2026, 1, 31)),
        (timedelta, 90, timedelta(seconds=90)),
    ],
)
def test_times_are_read_as_json_writes_them(type_: type, given: Any, read: Any) -> None:
    assert run_inputs._from_json(given, type_) == read


@pytest.mark.parametrize(
    ("type_", "given", "mend"),
    [(timedelta, "PT3S", "as seconds"), (datetime, 5, "2026-01-31T12:00:00Z")],
)
def test_times_in_another_form_are_refused_with_the_right_one(
    type_: type, given: Any, mend: str
) -> None:
    with pytest.raises(TypeError, match=mend):
        run_inputs._from_json(given, type_)


def test_part_that_does_not_fit_is_named_and_a_large_value_is_cut() -> None:
    from flytekit import workflow

    @workflow
    def flow(rows: list[dict[str, list[int]]]) -> list[dict[str, list[int]]]:
        return rows

    rows = [{"a": [1]}, {"b": [*range(500), "x"]}]
    with pytest.raises(PlanError) as caught:
        cdao_sdk.run(flow, inputs={"rows": rows})
    [problem] = caught.value.problems
    assert problem.startswith("rows=[{'a': [1]}, {'b': [0, 1, 2,")
    assert problem.endswith("…: not a list: [1]['b'][500]: it is a str")
