"""Any type, any value: flytekit → connector → body, and body → connector → flytekit, unchanged.

The runner's own functions read and write here what a job's process would: `spec.json` and
`outputs.json` are passed on as JSON text, literals as protobuf bytes.
"""

# ruff: noqa: UP006, UP007, UP045 # types as users write them

from __future__ import annotations

import dataclasses
import enum
import importlib.util
import json
import math
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Dict, List, Literal, Optional, Union  # noqa: UP035 # as users write them

import pytest
from flytekit import FlyteContextManager
from flytekit.core.type_engine import TypeEngine
from flytekit.models import literals as lit
from flytekit.models.types import LiteralType
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from cdao_sdk.flyte.inputs import InputEncoder
from cdao_sdk.flyte.results import ResultPlaces, decode_outputs

RUNNER = Path(__file__).parents[2] / "cdao_sdk" / "runtime" / "runner.py"
PLACES = ResultPlaces("s3://b/result")


def load_runner() -> Any:
    spec = importlib.util.spec_from_file_location("cdao_runner_for_types", RUNNER)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


runner = load_runner()
OUTBOX = runner.Outbox(SimpleNamespace(output_dir="/nowhere/result", model_dir=None, inputs={}))


class Colour(enum.Enum):
    RED = "red"
    GREEN = "green"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


@dataclasses.dataclass
class Leaf:
    number: int
    rate: float
    name: str
    flag: bool
    moment: datetime
    span: timedelta
    colour: Colour
    level: Level
    raw: bytes


@dataclasses.dataclass
class Tree:
    leaf: Leaf
    leaves: List[Leaf]
    by_name: Dict[str, Leaf]
    maybe: Optional[Leaf] = None
    either: Union[int, str, None] = None
    matrix: List[List[float]] = dataclasses.field(default_factory=list)
    choice: Literal["a", "b"] = "a"


class Record(BaseModel):
    number: int
    rate: float
    name: str
    day: date
    moment: datetime
    span: timedelta
    colour: Colour
    maybe: Optional[int] = None


class Folder(BaseModel):
    records: List[Record]
    by_name: Dict[str, Record]
    first: Optional[Record] = None
    either: Union[int, str, None] = None


# A string that is a path of the job's own becomes that path's URI; protobuf has no lone surrogates.
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12).filter(
    lambda text: text[:1] != "/"
)
INTEGERS = st.integers(-(2**63), 2**63 - 1)
# Flyte's time stamps are of protobuf: years 1 to 9999, in UTC.
ZONES = st.sampled_from([timezone.utc, timezone(timedelta(hours=-3, minutes=-30))])
MOMENTS = st.datetimes(
    datetime(1900, 1, 1),  # noqa: DTZ001 # hypothesis adds the zone
    datetime(2200, 1, 1),  # noqa: DTZ001
    timezones=ZONES,
)
SPANS = st.integers(-(10**15), 10**15).map(lambda n: timedelta(microseconds=n))
FLOATS = st.floats(allow_nan=False)
DATES = st.dates(date(1900, 1, 1), date(2200, 1, 1))
JSON = st.recursive(
    st.none() | st.booleans() | INTEGERS | st.floats() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)
LEAVES = st.builds(
    Leaf,
    INTEGERS,
    FLOATS,
    TEXTS,
    st.booleans(),
    MOMENTS,
    SPANS,
    st.sampled_from(Colour),
    st.sampled_from(Level),
    st.binary(max_size=8),
)
TREES = st.builds(
    Tree,
    LEAVES,
    st.lists(LEAVES, max_size=2),
    st.dictionaries(TEXTS, LEAVES, max_size=2),
    st.none() | LEAVES,
    st.none() | INTEGERS | TEXTS,
    st.lists(st.lists(FLOATS, max_size=2), max_size=2),
    st.sampled_from(["a", "b"]),
)
RECORDS = st.builds(
    Record,
    number=INTEGERS,
    rate=st.floats(allow_nan=False, allow_infinity=False),
    name=TEXTS,
    day=DATES,
    moment=MOMENTS,
    span=SPANS,
    colour=st.sampled_from(Colour),
    maybe=st.none() | INTEGERS,
)
FOLDERS = st.builds(
    Folder,
    records=st.lists(RECORDS, max_size=2),
    by_name=st.dictionaries(TEXTS, RECORDS, max_size=2),
    first=st.none() | RECORDS,
    either=st.none() | INTEGERS | TEXTS,
)
SIMPLE: dict[Any, st.SearchStrategy[Any]] = {
    int: INTEGERS,
    float: st.floats(),
    str: TEXTS,
    bool: st.booleans(),
    datetime: MOMENTS,
    date: DATES,
    timedelta: SPANS,
    Colour: st.sampled_from(Colour),
    Literal["x", "y"]: st.sampled_from(["x", "y"]),
    Literal[1, 2]: st.sampled_from([1, 2]),
    dict: st.dictionaries(TEXTS, JSON, max_size=3),
    Leaf: LEAVES,
    Tree: TREES,
    Record: RECORDS,
    Folder: FOLDERS,
    Union[int, str, None]: st.none() | INTEGERS | TEXTS,
    Union[bool, float, str]: st.booleans() | FLOATS | TEXTS,
    Dict[int, str]: st.dictionaries(INTEGERS, TEXTS, max_size=3),
}


def wrapped(hint: Any, values: st.SearchStrategy[Any]) -> list[tuple[Any, Any]]:
    found: list[tuple[Any, Any]] = [
        (List[hint], st.lists(values, max_size=3)),
        (list[hint], st.lists(values, max_size=3)),
        (Dict[str, hint], st.dictionaries(TEXTS, values, max_size=3)),
    ]
    nullable = getattr(hint, "__origin__", None) is Union
    return found if nullable else [*found, (Optional[hint], st.none() | values)]


@st.composite
def typed_values(draw: st.DrawFn) -> tuple[Any, Any]:
    """A type and a value of it."""
    hint, values = draw(st.sampled_from(list(SIMPLE.items())))
    for _ in range(draw(st.integers(0, 2))):
        hint, values = draw(st.sampled_from(wrapped(hint, values)))
    return hint, draw(values)


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


def wire_type(python_type: Any) -> LiteralType:
    return LiteralType.from_flyte_idl(TypeEngine.to_literal_type(python_type).to_flyte_idl())


def to_job(value: object, python_type: Any) -> object:
    """What the body gets for an input."""
    context, kind = FlyteContextManager.current_context(), wire_type(python_type)
    made = TypeEngine.to_literal(context, value, python_type, kind)
    literal = lit.Literal.from_flyte_idl(made.to_flyte_idl())
    encoded = InputEncoder("/opt/ml/input/data").encode("x", literal, literal_type=kind)
    read = json.loads(json.dumps(encoded, allow_nan=False))
    return runner.coerce(runner.decode(read), python_type)


def from_job(value: object, python_type: Any) -> object:
    """What flytekit gets of an output."""
    encoded = json.loads(json.dumps(OUTBOX.declared("o0", value, python_type), allow_nan=False))
    literals = decode_outputs({"o0": encoded}, {"o0": wire_type(python_type)}, PLACES).literals
    literal = lit.Literal.from_flyte_idl(literals["o0"].to_flyte_idl())
    context = FlyteContextManager.current_context()
    return TypeEngine.to_python_value(context, literal, python_type)


@pytest.mark.parametrize("python_type", SIMPLE, ids=str)
def test_each_type_by_itself(python_type: Any) -> None:
    @given(SIMPLE[python_type])
    @settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
    def check(value: object) -> None:
        arrived = to_job(value, python_type)
        assert same(arrived, value)
        assert same(from_job(arrived, python_type), value)

    check()


@pytest.mark.parametrize(
    ("value", "python_type", "arrives"),
    [
        (datetime(2024, 1, 2), datetime, datetime(2024, 1, 2, tzinfo=timezone.utc)),  # noqa: DTZ001
        (2**63 - 1, int, 2**63 - 1),
        ([], List[float], []),
        ({}, Dict[str, Leaf], {}),
        ("\x00é\u2028", str, "\x00é\u2028"),
        ({"a": [None, {"b": math.inf}]}, dict, {"a": [None, {"b": math.inf}]}),
    ],
)
def test_edges_arrive_as_flyte_has_them(value: object, python_type: Any, arrives: object) -> None:
    assert same(to_job(value, python_type), arrives)
    assert same(from_job(arrives, python_type), arrives)


@pytest.mark.parametrize(
    ("value", "python_type", "back"),
    [
        (1, float, 1.0),  # flytekit's own task would refuse it
        (2.0, int, 2),
        (date(2024, 1, 2), datetime, None),
        (datetime(2024, 1, 2), datetime, datetime(2024, 1, 2, tzinfo=timezone.utc)),  # noqa: DTZ001
        (Colour.RED, str, None),
        ((1, 2), List[int], [1, 2]),
        ({"red"}, List[Colour], [Colour.RED]),
    ],
)
def test_body_may_return_what_fits(value: object, python_type: Any, back: object) -> None:
    if back is None:
        with pytest.raises(runner.OutputError, match=r"output 'o0': .* does not fit"):
            from_job(value, python_type)
    else:
        assert same(from_job(value, python_type), back)


@given(typed_values())
@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
def test_body_gets_what_was_given_and_flytekit_what_it_returns(typed: tuple[Any, Any]) -> None:
    hint, value = typed
    arrived = to_job(value, hint)
    assert same(arrived, value)
    assert same(from_job(arrived, hint), value)
