from __future__ import annotations

import dataclasses
import json
from datetime import datetime, timedelta, timezone
from enum import Enum
from typing import NamedTuple

from flytekit.types.directory import FlyteDirectory
from flytekit.types.file import FlyteFile
from flytekit.types.structured import StructuredDataset

from cdao_sdk.cli.outputs import plain_outputs, readable


class Colour(Enum):
    RED = "red"


class Point(NamedTuple):
    x: int
    y: float


@dataclasses.dataclass
class Report:
    scores: list[float]
    colour: Colour


def test_every_value_becomes_json_and_nothing_is_downloaded() -> None:
    values: dict[str, object] = {
        "file": FlyteFile("s3://no-such-bucket/report.html"),
        "folder": FlyteDirectory("s3://no-such-bucket/folder"),
        "table": StructuredDataset(uri="s3://no-such-bucket/table"),
        "report": Report([0.5, float("nan")], Colour.RED),
        "point": Point(1, 2.0),
        "when": datetime(2026, 11, 23, tzinfo=timezone.utc),
        "took": timedelta(minutes=1),
        "none": None,
        "map": {"a": [True, b"x"]},
    }
    plain = plain_outputs(values)
    assert json.loads(json.dumps(plain, allow_nan=False)) == {
        "file": "s3://no-such-bucket/report.html",
        "folder": "s3://no-such-bucket/folder",
        "table": "s3://no-such-bucket/table",
        "report": {"scores": [0.5, "nan"], "colour": "red"},
        "point": [1, 2.0],
        "when": "2026-11-23T00:00:00+00:00",
        "took": 60.0,
        "none": None,
        "map": {"a": [True, "b'x'"]},
    }


def test_words_are_one_value_a_line() -> None:
    plain = plain_outputs({"metrics": {"auc": 0.78, "by": {"a": 1}}, "empty": {}, "text": "ä"})
    assert readable(plain) == [
        "metrics:",
        "  auc = 0.78",
        "  by:",
        "    a = 1",
        "empty = {}",
        "text = ä",
    ]
