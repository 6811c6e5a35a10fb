"""The public names: one list, and each of them is there."""

from __future__ import annotations

import ast
import pkgutil
from pathlib import Path

import pytest

import cdao_sdk

STUB = ast.parse(Path(cdao_sdk.__file__).with_suffix(".pyi").read_text())
NAMES = sorted(
    alias.asname or alias.name
    for statement in STUB.body
    if isinstance(statement, ast.ImportFrom)
    for alias in statement.names
)


def test_all_is_the_stub() -> None:
    assert sorted(cdao_sdk.__all__) == NAMES
    assert set(NAMES) <= set(dir(cdao_sdk))


@pytest.mark.parametrize("name", NAMES)
def test_public_name_is_there_twice_the_same_and_documented(name: str) -> None:
    # A module beside an exported function of the same name would shadow it on the second access.
    first, second = getattr(cdao_sdk, name), getattr(cdao_sdk, name)
    assert first is second
    assert not hasattr(first, "__path__")
    if callable(first):
        assert first.__doc__


def test_no_module_bears_an_exported_name() -> None:
    modules = {module.name for module in pkgutil.iter_modules(cdao_sdk.__path__)}
    assert modules & set(NAMES) == set()


@pytest.mark.parametrize("kind", ["training", "processing", "batch_transform"])
def test_short_name_is_the_long_one(kind: str) -> None:
    long = getattr(cdao_sdk, f"sagemaker_{kind}_task")
    assert getattr(cdao_sdk, f"sagemaker_{kind}") is long


def test_star_import_brings_every_name() -> None:
    found: dict[str, object] = {}
    exec("from cdao_sdk import *", found)  # noqa: S102 # what a notebook does
    assert set(NAMES) <= set(found)


def test_decorators_are_the_same_from_both_modules() -> None:
    from cdao_sdk import decorators

    for name in decorators.__all__:
        assert getattr(cdao_sdk, name) is getattr(decorators, name)


def test_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="nonsense"):
        _ = cdao_sdk.nonsense
