"""What one job returns, the next one takes: encode → decode → coerce gives the value back."""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import importlib.util
import json
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Dict, List, NamedTuple, Optional, Tuple, Union  # noqa: UP035  both spellings

from hypothesis import given
from hypothesis import strategies as st

RUNNER = Path(__file__).parents[2] / "cdao_sdk" / "runtime" / "runner.py"


def load_runner() -> Any:
    spec = importlib.util.spec_from_file_location("cdao_runner_under_test", RUNNER)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


runner = load_runner()
OUTBOX = runner.Outbox(SimpleNamespace(output_dir="/nowhere/result", model_dir=None, inputs={}))


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Point(NamedTuple):
    x: int
    y: Optional[float]  # noqa: UP045


@dataclasses.dataclass
class Record:
    count: int
    rate: float
    names: List[str]  # noqa: UP006
    when: dt.datetime
    span: dt.timedelta
    color: Color
    inner: Optional[Record] = None  # noqa: UP045


def through_json(encoded: object) -> Any:
    """As it travels: strict JSON."""
    return json.loads(json.dumps(encoded, allow_nan=False))


def travelled(value: object, hint: object) -> object:
    return runner.coerce(runner.decode(through_json(OUTBOX.encode(value, "o0"))), hint)


def same(one: object, two: object) -> bool:
    """Equal in value and type; NaN equals NaN."""
    if type(one) is not type(two):
        return False
    if isinstance(one, float) and math.isnan(one):
        return math.isnan(two)  # type: ignore[arg-type]
    if isinstance(one, (list, tuple)):
        return len(one) == len(two) and all(map(same, one, two))  # type: ignore[arg-type]
    if isinstance(one, dict):
        return one.keys() == two.keys() and all(same(one[k], two[k]) for k in one)  # type: ignore[attr-defined,index]
    return one == two


# A string that is a path of the job's own becomes that path's URI, and lone surrogates no UTF-8.
TEXT = st.text(st.characters(exclude_categories=["Cs"])).filter(lambda text: text[:1] != "/")
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | TEXT
JSON = st.recursive(
    LEAVES, lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner), max_leaves=20
)
SPANS = st.timedeltas(dt.timedelta(days=-9999), dt.timedelta(days=9999)).map(
    lambda span: dt.timedelta(seconds=round(span.total_seconds(), 3))
)
TIMES = st.datetimes(timezones=st.none() | st.just(dt.timezone.utc))
TYPED: dict[Any, st.SearchStrategy[Any]] = {
    int: st.integers(),
    float: st.floats(),
    bool: st.booleans(),
    str: TEXT,
    dt.datetime: TIMES,
    dt.date: st.dates(),
    dt.timedelta: SPANS,
    Color: st.sampled_from(Color),
    Point: st.builds(Point, st.integers(), st.none() | st.floats()),
}


def containers(hint: Any, values: st.SearchStrategy[Any]) -> list[tuple[Any, Any]]:
    return [
        (List[hint], st.lists(values)),  # noqa: UP006
        (list[hint], st.lists(values)),
        (Dict[str, hint], st.dictionaries(TEXT, values)),  # noqa: UP006
        (Dict[int, hint], st.dictionaries(st.integers(), values)),  # noqa: UP006
        (Optional[hint], st.none() | values),  # noqa: UP045
        (hint | None, st.none() | values),
        (Tuple[hint, int], st.tuples(values, st.integers())),  # noqa: UP006
        (tuple[hint, ...], st.lists(values).map(tuple)),
    ]


@st.composite
def typed_values(draw: st.DrawFn, depth: int = 2) -> tuple[Any, Any]:
    """A type and a value of it."""
    hint, values = draw(st.sampled_from(list(TYPED.items())))
    for _ in range(draw(st.integers(0, depth))):
        hint, values = draw(st.sampled_from(containers(hint, values)))
    return hint, draw(values)


def records(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Record]:
    naive = st.datetimes()
    colors = st.sampled_from(Color)
    finite = st.floats(allow_nan=False)
    return st.builds(
        Record, st.integers(), finite, st.lists(TEXT), naive, SPANS, colors, st.none() | inner
    )


@given(JSON)
def test_json_values_stay_what_they_are(value: object) -> None:
    assert same(travelled(value, Any), value)


@given(typed_values())
def test_annotated_values_come_back_as_their_type(typed: tuple[Any, Any]) -> None:
    hint, value = typed
    assert same(travelled(value, hint), value)


@given(records(records(st.nothing())))
def test_nested_dataclasses_come_back(record: Record) -> None:
    assert travelled(record, Record) == record


@given(st.integers(-(2**53), 2**53))
def test_integers_survive_structs_that_hold_only_floats(number: int) -> None:
    assert same(runner.coerce(float(number), int), number)
    assert same(runner.coerce({"a": [float(number)]}, Dict[str, List[int]]), {"a": [number]})  # noqa: UP006


@given(st.integers() | st.floats(allow_nan=False) | TEXT | st.booleans())
def test_a_union_keeps_what_is_one_of_its_types_already(value: object) -> None:
    for hint in (Union[str, bool, int, float], float | int | bool | str):  # noqa: UP007
        assert same(runner.coerce(value, hint), value)


@given(TIMES)
def test_dates_of_iso_8601(moment: dt.datetime) -> None:
    for text in (
        moment.isoformat(),
        moment.isoformat(" "),
        moment.isoformat().replace("+00:00", "Z"),
    ):
        assert runner.parse_datetime(text) == moment


@given(st.text(), st.integers(4, 200))
def test_a_cut_text_is_whole_utf_8_and_never_longer(text: str, limit: int) -> None:
    data = runner.cut(text, limit)
    assert len(data) <= limit
    assert (
        data.decode("utf-8").rstrip(".")[: limit // 8]
        == text.encode("utf-8", "replace").decode()[: len(data.decode("utf-8").rstrip("."))][
            : limit // 8
        ]
    )


@given(st.lists(st.integers(1, 300), min_size=1, unique=True))
def test_hosts_sort_by_their_number(numbers: list[int]) -> None:
    names = sorted((f"algo-{number}" for number in numbers), key=runner.natural_key)
    assert names == [f"algo-{number}" for number in sorted(numbers)]
