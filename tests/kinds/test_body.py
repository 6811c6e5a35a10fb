from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from cdao_sdk.errors import SpecError
from cdao_sdk.kinds.body import is_stub, runs_body
from cdao_sdk.kinds.build import build_spec


def docstring(data_path: str) -> str:
    """Nothing but words."""


def ellipsis(data_path: str) -> str: ...


def constant(data_path: str) -> str:
    """Train."""
    return "s3://bucket/model.tar.gz"


def named_constant(data_path: str) -> str:
    import json  # noqa: F401
    from os import path  # noqa: F401

    output_path = "s3://bucket/predictions.csv"
    scores: dict[str, float] = {"auc": -1.0}
    pair = (output_path, scores)
    return pair  # noqa: RET504


def not_implemented(data_path: str) -> str:
    raise NotImplementedError("SageMaker does it")


def bare() -> None:
    return


def argument(data_path: str) -> str:
    return data_path


def formatted(data_path: str) -> str:
    return f"{data_path}/out"


def call(data_path: str) -> str:
    return data_path.upper()


def assigned_call(data_path: str) -> int:
    size = len(data_path)
    return size  # noqa: RET504


def loop(data_path: str) -> None:
    for _ in data_path:
        pass


def raises(data_path: str) -> None:
    raise ValueError(data_path)


STUBS = [docstring, ellipsis, constant, named_constant, not_implemented, bare]
BODIES = [argument, formatted, call, assigned_call, loop, raises]


@pytest.mark.parametrize("function", STUBS)
def test_stubs(function: Callable[..., Any]) -> None:
    assert is_stub(function)


@pytest.mark.parametrize("function", BODIES)
def test_bodies(function: Callable[..., Any]) -> None:
    assert not is_stub(function)


@pytest.mark.parametrize(
    ("source", "stub"),
    [
        ("def f(a):\n    return 's3://x'", True),
        ("def f(a):\n    import os\n    p = 's3://x'\n    return p", True),
        ("def f(a): ...", True),
        ("def f(a): return a", False),
        ("def f(a): return len(a)", False),
        ("def f(a):\n    import os\n    return os.getcwd()", False),
    ],
)
def test_without_source_the_bytecode_is_judged(source: str, stub: bool) -> None:
    namespace: dict[str, Any] = {}
    exec(source, namespace)  # noqa: S102 - a function that no file holds
    assert is_stub(namespace["f"]) == stub


def test_lambdas_are_judged() -> None:
    assert is_stub(lambda _: "s3://x")
    assert not is_stub(lambda a: a)


def test_what_is_no_function_is_a_body() -> None:
    assert not is_stub(len)


class TestRunsBody:
    @pytest.mark.parametrize(
        ("kind", "options", "function", "runs"),
        [
            ("processing", {}, constant, True),
            ("training", {"framework": "pytorch"}, constant, True),
            ("training", {"framework": "xgboost"}, constant, False),
            ("training", {"framework": "xgboost"}, call, True),
            ("training", {"algorithm": "xgboost"}, constant, False),
            ("training", {"container_image": "my:1"}, constant, False),
            ("training", {"container_image": "my:1"}, call, True),
            ("transform", {}, named_constant, False),
        ],
    )
    def test_what_runs(
        self, kind: str, options: dict[str, object], function: Callable[..., Any], runs: bool
    ) -> None:
        assert runs_body(build_spec(kind, options), function) == runs

    @pytest.mark.parametrize(
        ("kind", "options", "mend"),
        [
            ("training", {"algorithm": "xgboost"}, "framework='xgboost'"),
            ("training", {"algorithm": "kmeans"}, "@sagemaker_processing_task"),
            ("transform", {}, "@sagemaker_processing_task"),
        ],
    )
    def test_body_that_nothing_would_run_is_refused(
        self, kind: str, options: dict[str, object], mend: str
    ) -> None:
        with pytest.raises(SpecError, match=r"call\(\) has a body") as caught:
            runs_body(build_spec(kind, options), call)
        assert mend in str(caught.value)
