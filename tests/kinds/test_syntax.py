from __future__ import annotations

import importlib.util
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from cdao_sdk.kinds.syntax import too_new_for


@pytest.fixture
def in_module(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], Callable[..., object]]:
    """A function in a module of its own, below some lines."""

    def make(lines: str) -> Callable[..., object]:
        path = tmp_path / "users_module.py"
        path.write_text(textwrap.dedent(lines) + "\n\ndef task(a=1):\n    return a\n")
        spec = importlib.util.spec_from_file_location("users_module", path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, "users_module", module)
        spec.loader.exec_module(module)
        return module.task

    return make


@pytest.mark.parametrize(
    ("lines", "first", "text"),
    [
        ("def f(x):\n    if (n := x):\n        return n", "3.8", "line 2"),
        ("def f(x, /):\n    return x", "3.8", "line 1"),
        ("def f(x):\n    match x:\n        case 1:\n            pass", "3.10", "line 2"),
        ("from __future__ import annotations", "3.7", "line 1 needs Python 3.7"),
        ("def f(x: list[str]): ...", "3.9", "line 1 needs Python 3.9: list[str]"),
        ("\ndef f(*, x=1) -> dict[str, int]: ...", "3.9", "line 2 needs Python 3.9"),
        ("class A:\n    x: 'int' = 1\n    y: tuple[int, int] = (1, 2)", "3.9", "line 3"),
        ("Names = list[str]", "3.9", "line 1 needs Python 3.9"),
        ("class Names(list[str]): ...", "3.9", "line 1 needs Python 3.9"),
        ("def f(x: int | None): ...", "3.10", "line 1 needs Python 3.10: int | None"),
    ],
)
def test_what_an_older_python_cannot_import(
    in_module: Callable[[str], Callable[..., object]], lines: str, first: str, text: str
) -> None:
    function = in_module(lines)
    older = f"3.{int(first.split('.')[1]) - 1}"
    assert text in (too_new_for(function, older) or "")
    assert too_new_for(function, first) is None


@pytest.mark.parametrize(
    "lines",
    [
        "from typing import List, Optional\ndef f(x: Optional[List[str]]): ...",
        "def f(x: 'list[str]'): ...",
        "def f():\n    x: list[str] = []\n    return x",
        "import os\nflags = os.O_RDONLY | os.O_CREAT",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    Names = list[str]",
        "by_name = {'a': 1}\nlist_ = by_name['a']",
    ],
)
def test_what_it_can_import_is_not_named(
    in_module: Callable[[str], Callable[..., object]], lines: str
) -> None:
    assert too_new_for(in_module(lines), "3.6") is None


def test_postponed_annotations_are_not_evaluated(
    in_module: Callable[[str], Callable[..., object]],
) -> None:
    lines = "from __future__ import annotations\ndef f(x: list[str] | None): ..."
    assert too_new_for(in_module(lines), "3.7") is None


def test_code_without_source_is_not_judged() -> None:
    scope: dict[str, Callable[..., object]] = {"__name__": "nowhere"}  # type: ignore[dict-item]
    exec("def f(x: list[str]): ...", scope)  # noqa: S102
    assert too_new_for(scope["f"], "3.6") is None
