"""The JSONPath forms of transform filters."""

from __future__ import annotations

import pytest

from cdao_sdk.local.execution.context import JobFailed
from cdao_sdk.local.execution.jsonpath import compile_path

ROW = ["a", "b", "c", "d"]
DOCUMENT = {"id": 1, "deep": {"x-y": [10, 20, 30]}, "other": None}


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        ("$", ROW, ROW),
        ("$[0]", ROW, "a"),
        ("$[-1]", ROW, "d"),
        ("$[1:]", ROW, ["b", "c", "d"]),
        ("$[:-1]", ROW, ["a", "b", "c"]),
        ("$[ 1 : 3 ]", ROW, ["b", "c"]),
        ("$[0,2]", ROW, ["a", "c"]),
        ("$[0, -1]", ROW, ["a", "d"]),
        ("$.id", DOCUMENT, 1),
        ("$['id']", DOCUMENT, 1),
        ("$['id','other']", DOCUMENT, {"id": 1, "other": None}),
        ("$.deep.x-y[1:]", DOCUMENT, [20, 30]),
        ("$.deep['x-y'][0]", DOCUMENT, 10),
    ],
)
def test_paths_select(path: str, value: object, expected: object) -> None:
    assert compile_path(path)(value) == expected


@pytest.mark.parametrize("path", ["", "id", "$..id", "$.*", "$[*]", "$[?(@.x)]", "$[::2]", "$."])
def test_other_forms_are_refused(path: str) -> None:
    with pytest.raises(JobFailed, match="is not offered"):
        compile_path(path)


@pytest.mark.parametrize(("path", "value"), [("$[4]", ROW), ("$.no", DOCUMENT), ("$[0]", DOCUMENT)])
def test_what_a_record_lacks_is_said(path: str, value: object) -> None:
    with pytest.raises(JobFailed, match="ClientError: The JSONPath asks for"):
        compile_path(path)(value)
