from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cdao_sdk.monitor.source_place import Checkout

if TYPE_CHECKING:
    from pathlib import Path

ERROR = """AlgorithmError: [cdao:USER] KeyError: 'k'
  lib.py:3 in get: return {}[key]
  flows/flow.py:2 in train: return get(
  flow"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A repository with an installed package of the same name beside its own files."""
    for name, text in {
        "src/flows/flow.py": "def train():\n    return get('k')\n",
        "other/flow.py": "x\n    return get(\n",
        "venv/lib/site-packages/lib.py": "\n\n  return {}[key]\n",
        ".cache/lib.py": "\n\n  return {}[key]\n",
    }.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True)
        path.write_text(text)
    return tmp_path


def test_the_innermost_frame_that_is_in_the_checkout_is_found(checkout: Path) -> None:
    assert Checkout(checkout).place_of(ERROR) == ("src/flows/flow.py", 2)
    (checkout / "lib.py").write_text("\n\n    return {}[key]  # here\n")
    assert Checkout(checkout).place_of(ERROR) == ("lib.py", 3)


@pytest.mark.parametrize(
    "error",
    [
        "",
        "AlgorithmError: exit code 1",
        "  flow.py:2 in train: return another(",  # the checkout has another version
        "  flow.py:9 in train: return get(",
        "  ../flow.py:2 in train: return get(",
    ],
)
def test_what_does_not_fit_is_not_shown(checkout: Path, error: str) -> None:
    assert Checkout(checkout).place_of(error) is None


def test_of_two_that_fit_none_is_chosen(checkout: Path) -> None:
    (checkout / "flow.py").write_text("\nreturn get(1)\n")
    error = "  flow.py:2 in train: return get("
    assert Checkout(checkout).place_of(error) is None
