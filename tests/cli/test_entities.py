from __future__ import annotations

import secrets
import sys
from typing import TYPE_CHECKING

import pytest

from cdao_sdk.cli.entities import find_entity, load_module, merge_inputs, parse_json_inputs
from cdao_sdk.errors import PlanError, SpecError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(autouse=True)
def _imports_are_undone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if name.startswith("flow_"):
            del sys.modules[name]


@pytest.fixture
def name() -> str:
    return f"flow_{secrets.token_hex(4)}"


def write(folder: Path, name: str, text: str) -> str:
    path = folder / f"{name}.py"
    path.write_text(text)
    return str(path)


def test_a_file_is_imported_under_its_stem_with_its_neighbours(tmp_path: Path, name: str) -> None:
    write(tmp_path, f"{name}_lib", "answer = 42")
    module = load_module(write(tmp_path, name, f"from {name}_lib import answer"))
    assert (module.__name__, module.answer) == (name, 42)
    assert sys.modules[name] is module


def test_a_file_of_a_package_is_imported_from_above_the_package(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name / "steps"
    folder.mkdir(parents=True)
    for package in (folder, folder.parent):
        write(package, "__init__", "")
    write(folder.parent, "shared", "answer = 42")
    text = f"from {name}.shared import answer\nfrom ..shared import answer as same"
    module = load_module(write(folder, "flow", text))
    assert (module.__name__, module.answer, module.same) == (f"{name}.steps.flow", 42, 42)


def test_a_module_is_found_from_the_working_directory(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / name).mkdir()
    write(tmp_path / name, "inner", "answer = 42")
    monkeypatch.chdir(tmp_path)
    assert load_module(f"{name}.inner").answer == 42


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("import nothing_like_that", r"ModuleNotFoundError.*nothing_like_that.*line 1\)"),
        ("x = 1\ny = x / 0", r"ZeroDivisionError.*line 2\)"),
        ("def broken(:", "SyntaxError"),
        ("import sys; sys.exit(3)", "ends the process when it is imported"),
        ("from . import other", r"relative import.*package\.module"),
    ],
)
def test_a_file_that_cannot_be_imported_says_where_and_why(
    text: str, words: str, tmp_path: Path, name: str
) -> None:
    with pytest.raises(PlanError, match=words):
        load_module(write(tmp_path, name, text))


def test_an_error_of_a_decorator_keeps_its_own_words(tmp_path: Path, name: str) -> None:
    text = "from cdao_sdk import SpecError\nraise SpecError('no such option')"
    with pytest.raises(SpecError, match="no such option"):
        load_module(write(tmp_path, name, text))


@pytest.mark.parametrize("taken", ["json", "pytest", "wave"])
def test_a_file_that_hides_another_module_is_refused(taken: str, tmp_path: Path) -> None:
    with pytest.raises(PlanError, match="rename the file"):
        load_module(write(tmp_path, taken, ""))


@pytest.mark.parametrize("target", ["nowhere.py", "no/where.py", "no.where", "nowhere"])
def test_what_is_not_there_is_named(target: str) -> None:
    with pytest.raises(PlanError, match=f"'{target}'"):
        load_module(target)


def test_an_unknown_workflow_gets_the_nearest_name_and_the_list(flow: str) -> None:
    module = load_module(flow)
    with pytest.raises(PlanError, match=r"bad, divide, double.*Did you mean 'good'\?"):
        find_entity(module, "goood")
    with pytest.raises(PlanError, match="'time' is neither a workflow nor a task"):
        find_entity(module, "time")


def test_inputs_are_json_a_file_or_pairs(flow: str, tmp_path: Path) -> None:
    entity = find_entity(load_module(flow), "good")
    (tmp_path / "inputs.json").write_text('{"number": 1, "note": "a"}')
    document = parse_json_inputs(f"@{tmp_path / 'inputs.json'}")
    pairs = ["number=3", "note=4", "other=[1, 2]", "path=s3://bucket/key=x"]
    assert merge_inputs(document, pairs, entity) == {
        "number": 3,
        "note": "4",  # a string is wanted
        "other": [1, 2],
        "path": "s3://bucket/key=x",
    }


@pytest.mark.parametrize(
    ("hint", "expected"),
    [
        ("Dict[str, float]", {"a": 1}),
        ("Optional[Dict[str, Any]]", {"a": 1}),
        ("str", '{"a": 1}'),
        ("Optional[str]", '{"a": 1}'),
        ("dict", {"a": 1}),
    ],
)
def test_only_an_input_that_takes_strings_gets_json_as_text(
    tmp_path: Path, name: str, hint: str, expected: object
) -> None:
    text = f"""
from typing import *
import cdao_sdk
@cdao_sdk.sagemaker_processing_task(framework="sklearn", runtime="script")
def step(given: {hint}) -> str:
    return str(given)
"""
    entity = find_entity(load_module(write(tmp_path, name, text)), "step")
    assert merge_inputs({}, ['given={"a": 1}'], entity) == {"given": expected}


@pytest.mark.parametrize("text", ["{", "[1]", "3", "@missing.json", "@."])
def test_inputs_that_are_no_json_object_are_refused(text: str) -> None:
    with pytest.raises(PlanError, match=r"--inputs|JSON"):
        parse_json_inputs(text)


@pytest.mark.parametrize("pair", ["number", "=3"])
def test_a_pair_has_a_name_and_a_value(pair: str, flow: str) -> None:
    entity = find_entity(load_module(flow), "good")
    with pytest.raises(PlanError, match="name=value"):
        merge_inputs({}, [pair], entity)
