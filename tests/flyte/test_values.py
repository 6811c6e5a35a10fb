"""Values on their way: Python → Flyte literal → JSON → Flyte literal → Python."""

# ruff: noqa: UP006, UP007, UP045 # types as users write them
# ruff: noqa: DTZ001 # hypothesis takes bounds without a zone

from __future__ import annotations

import contextlib
import dataclasses
import enum
import json
import math
import pickle
from datetime import datetime, timedelta, timezone
from typing import Any, Dict, List, Optional, Union  # noqa: UP035 # as users write them

import pytest
from flytekit import FlyteContextManager, StructuredDataset
from flytekit.core.type_engine import TypeEngine
from flytekit.models import literals as lit
from flytekit.types.directory import FlyteDirectory
from flytekit.types.file import FlyteFile
from hypothesis import given, settings
from hypothesis import strategies as st

from cdao_sdk.errors import JobFailed, PlanError
from cdao_sdk.flyte.inputs import InputEncoder, plain_value
from cdao_sdk.flyte.results import ResultPlaces, decode_outputs, uri_literal

PLACES = ResultPlaces("s3://b/result")


class Colour(enum.Enum):
    RED = "red"
    GREEN = "green"


@dataclasses.dataclass
class Inner:
    numbers: List[int]
    moment: Optional[datetime] = None


@dataclasses.dataclass
class Point:
    x: int
    y: float
    name: str
    inner: Optional[Inner] = None


_integers = st.integers(-(2**53), 2**53)
_texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
_moments = st.datetimes(datetime(1970, 1, 2), datetime(2100, 1, 1), timezones=st.just(timezone.utc))
_spans = st.integers(-(10**12), 10**12).map(lambda n: timedelta(microseconds=n))
_json = st.recursive(
    st.none() | st.booleans() | _integers | st.floats(allow_nan=False) | _texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_texts, inner, max_size=3),
    max_leaves=8,
)
_inners = st.builds(Inner, st.lists(_integers, max_size=3), st.none() | _moments)

TYPED = {
    int: st.integers(-(2**63), 2**63 - 1),
    float: st.floats(),
    str: _texts,
    bool: st.booleans(),
    Optional[int]: st.none() | _integers,
    Optional[str]: st.none() | _texts,
    List[int]: st.lists(_integers, max_size=4),
    List[float]: st.lists(st.floats(), max_size=4),
    List[Optional[str]]: st.lists(st.none() | _texts, max_size=4),
    List[List[int]]: st.lists(st.lists(_integers, max_size=3), max_size=3),
    List[datetime]: st.lists(_moments, max_size=3),
    Dict[str, float]: st.dictionaries(_texts, st.floats(), max_size=4),
    Dict[str, List[timedelta]]: st.dictionaries(_texts, st.lists(_spans, max_size=3), max_size=3),
    dict: st.dictionaries(_texts, _json, max_size=4),
    datetime: _moments,
    timedelta: _spans,
    Colour: st.sampled_from(Colour),
    Point: st.builds(Point, _integers, st.floats(allow_nan=False), _texts, st.none() | _inners),
    List[Point]: st.lists(
        st.builds(Point, _integers, st.floats(allow_nan=False), _texts), max_size=3
    ),
    Union[int, str]: _integers | _texts,
    Union[int, bool]: _integers | st.booleans(),
    Union[float, int]: _integers | st.floats(allow_nan=False),
    Union[dict, List[int]]: st.lists(_integers, max_size=3)
    | st.dictionaries(_texts, _json, max_size=3),
    Union[Inner, Point]: _inners
    | st.builds(Point, _integers, st.floats(allow_nan=False), _texts, st.none() | _inners),
    Union[str, List[int]]: _texts | st.lists(_integers, max_size=3),
}


def to_literal(value: object, python_type: Any) -> lit.Literal:
    context = FlyteContextManager.current_context()
    literal_type = TypeEngine.to_literal_type(python_type)
    made = TypeEngine.to_literal(context, value, python_type, literal_type)
    return lit.Literal.from_flyte_idl(made.to_flyte_idl())  # as it comes over the wire


def there_and_back(value: object, python_type: Any) -> object:
    encoded = InputEncoder("/opt/ml/input/data").encode("value", to_literal(value, python_type))
    document = json.loads(json.dumps({"o0": encoded}))
    interface = {"o0": TypeEngine.to_literal_type(python_type)}
    decoded = decode_outputs(document, interface, PLACES).literals["o0"]
    decoded = lit.Literal.from_flyte_idl(decoded.to_flyte_idl())
    context = FlyteContextManager.current_context()
    return TypeEngine.to_python_value(context, decoded, python_type)


def same(left: object, right: object) -> bool:
    """Equal, of the same type, and not-a-number is itself."""
    if type(left) is not type(right):
        return False
    if isinstance(left, float) and isinstance(right, float):
        return left == right or (math.isnan(left) and math.isnan(right))
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(same(left[k], right[k]) for k in left)
    return left == right


@pytest.mark.parametrize("python_type", TYPED, ids=str)
def test_value_comes_back_as_it_went(python_type: Any) -> None:
    @given(value=TYPED[python_type])
    @settings(max_examples=25, deadline=None)
    def check(value: object) -> None:
        assert same(there_and_back(value, python_type), value)

    check()


def _encode(literal: lit.Literal) -> tuple[dict[str, object], InputEncoder]:
    encoder = InputEncoder("/opt/ml/input/data")
    return encoder.encode("data", literal), encoder


def _blob(uri: str, python_type: Any) -> lit.Literal:
    kind = TypeEngine.to_literal_type(python_type).blob
    return lit.Literal(scalar=lit.Scalar(blob=lit.Blob(lit.BlobMetadata(kind), uri)))


def test_pickle_is_copied_and_never_unpickled(tmp_path: Any) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[object, ...]:
            return (pytest.fail, ("it was unpickled",))

    # Whatever reads these bytes as a pickle fails the test.
    (tmp_path / "bomb").write_bytes(pickle.dumps(Bomb()))
    encoded, encoder = _encode(_blob("s3://b/pickled", Any))
    assert encoded == {"pickle": "/opt/ml/input/data/cdao-job/pickles/0"}
    assert encoder.copies == {"s3://b/pickled": "pickles/0"}
    assert encoder.channels == {}


def test_pickle_given_twice_is_copied_once() -> None:
    literal = lit.Literal(
        collection=lit.LiteralCollection([_blob("s3://b/p", Any), _blob("s3://b/p", Any)])
    )
    encoded, encoder = _encode(literal)
    first, second = encoded["list"]  # type: ignore[misc]
    assert first == second
    assert encoder.copies == {"s3://b/p": "pickles/0"}


def test_pickle_is_no_plain_value() -> None:
    with pytest.raises(PlanError, match=r"'config' holds a pickled value .* annotate"):
        plain_value("config", _blob("s3://b/pickled", Any))


def test_file_and_folder_become_channels() -> None:
    encoded, encoder = _encode(_blob("s3://b/data/raw.csv", FlyteFile))
    assert encoded == {"file": "/opt/ml/input/data/data/raw.csv", "uri": "s3://b/data/raw.csv"}
    assert encoder.channels["data"].uri == "s3://b/data/raw.csv"
    encoded, encoder = _encode(_blob("s3://b/data", FlyteDirectory))
    assert encoded == {"directory": "/opt/ml/input/data/data", "uri": "s3://b/data"}
    assert encoder.channels["data"].uri == "s3://b/data/"


def test_data_frame_becomes_a_channel() -> None:
    kind = TypeEngine.to_literal_type(StructuredDataset).structured_dataset_type
    for uri, prefix in (("s3://b/o1", "s3://b/o1/"), ("s3://b/f.parquet", "s3://b/f.parquet")):
        dataset = lit.StructuredDataset(uri, lit.StructuredDatasetMetadata(kind))
        encoded, encoder = _encode(lit.Literal(scalar=lit.Scalar(structured_dataset=dataset)))
        assert encoded["dataframe"] == "/opt/ml/input/data/data"
        assert encoded["format"] == "parquet"
        assert encoder.channels["data"].uri == prefix  # files/o1 must not bring files/o10


def test_file_outside_of_s3_is_refused_with_the_way_out() -> None:
    with pytest.raises(PlanError, match=r"'data' is '/tmp/x.csv'.*run\(\)"):
        _encode(_blob("/tmp/x.csv", FlyteFile))


def test_value_too_large_for_flyte_is_refused_rather_than_lost() -> None:
    with pytest.raises(PlanError, match="too large"):
        _encode(lit.Literal(offloaded_metadata=lit.LiteralOffloadedMetadata("s3://b/x", 1)))


@pytest.mark.parametrize("content", [b"\xc1", b"", b"\xd4\x05a", b"\x82\x01\x00\xa11\x00"])
def test_struct_that_is_no_json_is_refused(content: bytes) -> None:
    literal = lit.Literal(scalar=lit.Scalar(binary=lit.Binary(content, "msgpack")))
    with pytest.raises(PlanError, match="'data' holds a value that is not JSON"):
        _encode(literal)


def _decoded(encoded: object, python_type: Any, places: ResultPlaces = PLACES) -> lit.Literal:
    interface = {"o0": TypeEngine.to_literal_type(python_type)}
    return decode_outputs({"o0": encoded}, interface, places).literals["o0"]


@pytest.mark.parametrize("number", [-(2**63), 2**63 - 1])
def test_outermost_integers_come_back(number: int) -> None:
    assert there_and_back(number, int) == number


@pytest.mark.parametrize(
    ("encoded", "uri"),
    [
        ({"file": "files/o0/a.csv"}, "s3://b/result/files/o0/a.csv"),
        ({"uri": "s3://other/a.csv"}, "s3://other/a.csv"),
        ({"model": ""}, "s3://b/model.tar.gz"),
        ({"model": "model.joblib"}, "s3://b/model.tar.gz"),
        ({"path": "report.html"}, "s3://b/result/report.html"),
    ],
)
def test_returned_file_is_where_sagemaker_put_it(encoded: object, uri: str) -> None:
    places = ResultPlaces("s3://b/result", "s3://b/model.tar.gz")
    assert _decoded(encoded, FlyteFile, places).scalar.blob.uri == uri
    assert _decoded(encoded, str, places).scalar.primitive.string_value == uri


@pytest.mark.parametrize(
    ("encoded", "python_type", "shape"),
    [
        ({"file": "files/a"}, Union[str, FlyteDirectory, FlyteFile], "blob-0"),
        ({"directory": "files"}, Union[dict, FlyteFile, FlyteDirectory], "blob-1"),
        ({"dataframe": "f", "format": "csv"}, Union[str, FlyteFile, StructuredDataset], "frame"),
        ({"path": "a.txt"}, Union[str, FlyteFile], "text"),
        ({"uri": "s3://b/x"}, Union[str, FlyteFile], "blob-0"),
    ],
)
def test_file_in_a_union_is_of_its_own_kind(encoded: object, python_type: Any, shape: str) -> None:
    scalar = _decoded(encoded, python_type).scalar.union.value.scalar
    if scalar.blob is not None:
        assert shape == f"blob-{scalar.blob.metadata.type.dimensionality}"
    else:
        assert shape == ("frame" if scalar.structured_dataset is not None else "text")


def test_file_in_an_uncompressed_model_is_named_itself() -> None:
    places = ResultPlaces("s3://b/result", "s3://b/model/", model_is_archive=False)
    literal = _decoded({"model": "weights.bin"}, FlyteFile, places)
    assert literal.scalar.blob.uri == "s3://b/model/weights.bin"


@pytest.mark.parametrize("python_type", [str, FlyteFile, FlyteDirectory, StructuredDataset])
def test_uri_fits_whatever_a_stub_declares(python_type: Any) -> None:
    literal = uri_literal("s3://b/out", TypeEngine.to_literal_type(python_type))
    assert "s3://b/out" in str(literal)


@pytest.mark.parametrize(
    ("encoded", "python_type"),
    [
        ({"value": "x"}, int),
        ({"value": True}, int),
        ({"value": 1.5}, int),
        ({"value": 2**70}, int),
        ({"value": "x"}, float),
        ({"value": 1}, str),
        ({"value": 1}, bool),
        ({"value": 1}, List[int]),
        ({"value": [1]}, Dict[str, int]),
        ({"value": "blue"}, Colour),
        ({"value": 1.5}, Union[int, str]),
        ({"value": None}, Union[int, str]),
        ({"value": "x"}, datetime),
        ({"value": 1}, FlyteFile),
    ],
)
def test_result_of_the_wrong_type_fails_the_job(encoded: object, python_type: Any) -> None:
    with pytest.raises(JobFailed, match="Output 'o0'"):
        _decoded(encoded, python_type)


@given(
    encoded=_json
    | st.dictionaries(
        st.sampled_from(["value", "list", "map", "datetime", "timedelta", "float", "file", "uri"]),
        _json,
        max_size=2,
    ),
    python_type=st.sampled_from(list(TYPED)),
)
@settings(max_examples=200, deadline=None)
def test_whatever_a_job_writes_is_read_or_refused(encoded: object, python_type: Any) -> None:
    with contextlib.suppress(JobFailed):
        _decoded(encoded, python_type).to_flyte_idl()


def test_missing_output_is_named() -> None:
    with pytest.raises(JobFailed, match="'o0'"):
        decode_outputs({}, {"o0": TypeEngine.to_literal_type(int)}, PLACES)
