"""Which types a decorator refuses, and what it says; where files of an input are put."""

# ruff: noqa: UP006, UP007, UP045 # types as users write them

from __future__ import annotations

import collections.abc
import dataclasses
import enum
import json
from typing import Annotated, Any, Dict, List, NamedTuple, Optional, Tuple, TypedDict, Union  # noqa: UP035

import pytest
from flytekit.core.type_engine import TypeEngine
from flytekit.types.file import FlyteFile

from cdao_sdk import sagemaker_processing_task
from cdao_sdk.errors import PlanError, SpecError
from cdao_sdk.flyte.input_files import InputFiles
from cdao_sdk.flyte.inputs import holds
from cdao_sdk.flyte.type_rules import WORKING_TYPES
from cdao_sdk.kinds.job import DataSource

_FILES_BY_NUMBER = "Dict[int, flytekit.types.file.file.FlyteFile]"


class Options(TypedDict):
    depth: int


class Pair(NamedTuple):
    number: int
    options: Options


class Level(enum.IntEnum):
    LOW = 1


class Custom:
    pass


@dataclasses.dataclass
class Holder:
    custom: Custom


@dataclasses.dataclass
class Files:
    files: Dict[str, List[FlyteFile]]
    anything: Any = None


def declare(parameter: Any, result: Any = int) -> Any:
    def step(x: Any) -> Any:
        return x

    step.__annotations__ = {"x": parameter, "return": result}
    return sagemaker_processing_task(framework="sklearn", instance_type="ml.m5.large")(step)


@pytest.mark.parametrize(
    ("python_type", "problem"),
    [
        (list, "list says nothing of its items: write List[int]"),
        (Tuple[int, str], "Tuple[int, str] is a tuple, which Flyte has only for several outputs"),
        (Pair, "Pair is a tuple"),
        (Optional[Tuple[int, ...]], "Tuple[int, ...] is a tuple"),
        (Dict[str, List[Options]], "Options is a TypedDict, which Flyte cannot check"),
        (Level, "Level has the value 1: Flyte takes enums of strings"),
        (Annotated[Level, "note"], "Level has the value 1"),
        (Holder, "Holder cannot be packed: Field"),
        (
            collections.abc.Iterator[int],
            "collections.abc.Iterator[int] is a stream, which only flytekit itself reads",
        ),
        (
            Dict[int, FlyteFile],
            f"{_FILES_BY_NUMBER} has files below keys that are no strings: write Dict[str",
        ),
    ],
)
def test_type_that_cannot_travel_is_refused_with_the_mend(python_type: Any, problem: str) -> None:
    with pytest.raises(SpecError) as caught:
        declare(python_type)
    assert f"parameter 'x': {problem}" in str(caught.value).replace(f"{__name__}.", "")
    assert WORKING_TYPES in str(caught.value)
    assert "step" in str(caught.value)


def test_all_that_is_wrong_is_told_at_once() -> None:
    with pytest.raises(SpecError) as caught:
        declare(Level, Pair)
    assert "parameter 'x': Level" in str(caught.value)
    assert "result: Options is a TypedDict" in str(caught.value)


@pytest.mark.parametrize("result", [Any, bytes, Dict[str, Any]])
def test_result_that_flyte_pickles_is_refused_with_what_works(result: Any) -> None:
    with pytest.raises(SpecError) as caught:
        declare(int, result)
    assert "only pickle (o0)" in str(caught.value)
    assert WORKING_TYPES in str(caught.value)


def test_format_of_flytekits_own_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    # A type of a library that is not installed here, registered as flytekit registers tensors.
    from flytekit.core.type_engine import TypeTransformer
    from flytekit.models.core.types import BlobType
    from flytekit.models.types import LiteralType

    tensor = type("Tensor", (), {"__module__": "torch"})

    class Tensors(TypeTransformer):
        def __init__(self) -> None:
            super().__init__("tensors of a test", tensor)

        def get_literal_type(self, t: Any) -> LiteralType:
            del t
            return LiteralType(blob=BlobType("PyTorchTensor", 0))

        def to_literal(self, *_: object) -> Any:
            raise NotImplementedError

        def to_python_value(self, *_: object) -> Any:
            raise NotImplementedError

    monkeypatch.setitem(TypeEngine._REGISTRY, tensor, Tensors())
    with pytest.raises(SpecError, match=r"Tensor travels in a format .*\(PyTorchTensor\): use Fly"):
        declare(List[tensor])  # type: ignore[valid-type]


@pytest.mark.parametrize(
    "python_type",
    [int, Dict[str, Any], List[dict], Union[int, str, None], FlyteFile["csv"], Files, dict],
)
def test_type_that_travels_is_taken(python_type: Any) -> None:
    assert "x" in declare(python_type).interface.inputs


def test_files_inside_a_dataclass_count_and_its_pickles_do_not() -> None:
    kind = TypeEngine.to_literal_type(Files)
    assert holds(kind, {"file"})
    assert not holds(kind, {"pickle"})
    assert not holds(kind, {"directory"})


# --- places ---------------------------------------------------------------------------------


def test_one_file_needs_no_manifest() -> None:
    files = InputFiles("x")
    encoded = files.file("s3://b/data/raw.csv")
    placement = files.place("/in", DataSource("", input_mode="FastFile"), "s3://m")
    assert encoded == {"file": "/in/x/raw.csv", "uri": "s3://b/data/raw.csv"}
    assert placement.channels == {"x": DataSource("s3://b/data/raw.csv", input_mode="FastFile")}
    assert placement.manifests == {}


def test_files_of_a_bucket_share_a_manifest_below_their_common_folder() -> None:
    files = InputFiles("x")
    found = [files.file(f"s3://b/data/{name}") for name in ("one/a", "one/b", "two", "one/a")]
    other = files.file("s3://other/c")
    folder = files.directory("s3://b/folder")
    placement = files.place("/in", None, "s3://m")
    assert [item["file"] for item in found] == [
        *("/in/x/one/a", "/in/x/one/b", "/in/x/two", "/in/x/one/a"),
    ]
    assert other["file"] == "/in/x-1/c"
    assert folder == {"directory": "/in/x-2", "uri": "s3://b/folder"}
    assert {name: source.data_type for name, source in placement.channels.items()} == {
        "x": "ManifestFile",
        "x-1": "ManifestFile",
        "x-2": "S3Prefix",
    }
    assert json.loads(placement.manifests["x"]) == [
        {"prefix": "s3://b/data/"},
        *("one/a", "one/b", "two"),
    ]


def test_file_that_is_also_a_folder_gets_a_channel_of_its_own() -> None:
    files = InputFiles("x")
    found = [files.file(f"s3://b/{key}") for key in ("a", "a-b", "a/b", "a/b/c")]
    placement = files.place("/in", None, "s3://m")
    assert [item["file"] for item in found] == [
        "/in/x-2/a",
        "/in/x/a-b",
        "/in/x-1/b",
        "/in/x/a/b/c",
    ]
    assert len(placement.channels) == 3


def test_several_files_cannot_be_streamed() -> None:
    files = InputFiles("x")
    for name in "ab":
        files.file(f"s3://b/{name}")
    with pytest.raises(PlanError, match=r"'x' holds 2 files.*no manifests in mode 'FastFile'"):
        files.place("/in", DataSource("", input_mode="FastFile"), "s3://m")
