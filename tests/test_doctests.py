"""The examples in the docstrings are true."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

import cdao_sdk

# The runtime is no part of the package (it runs alone in containers); examples need their extras.
_APART = ("cdao_sdk.runtime", "cdao_sdk.examples", "cdao_sdk.local.algorithms")
MODULES = [
    module.name
    for module in pkgutil.walk_packages(cdao_sdk.__path__, "cdao_sdk.")
    if not module.name.startswith(_APART) and not module.name.endswith("__main__")
]


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings_hold(name: str) -> None:
    results = doctest.testmod(importlib.import_module(name))
    assert results.failed == 0


def test_what_users_call_has_an_example() -> None:
    for name in ("_configure", "_run", "decorators"):
        module = importlib.import_module(f"cdao_sdk.{name}")
        assert [test for test in doctest.DocTestFinder().find(module) if test.examples]
