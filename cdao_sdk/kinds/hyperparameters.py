"""Hyperparameters as SageMaker takes them: texts, a limited number of them, of limited length."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pydantic import JsonValue

_LARGEST_EXACT_FLOAT = 2**53


def hyperparameter_text(value: JsonValue) -> str:
    """A hyperparameter as SageMaker's containers read it.

    Whole floats lose their ``.0`` (Flyte's structs turn 6 into 6.0, and XGBoost refuses a
    ``max_depth`` of ``"6.0"``), other floats are written exactly, booleans become ``"1"`` and
    ``"0"`` as XGBoost's container demands, and anything nested becomes JSON.

    Example:
        >>> [hyperparameter_text(value) for value in (6.0, 0.3, True, "gbtree", [1, 2])]
        ['6', '0.3', '1', 'gbtree', '[1, 2]']
    """
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, float):
        whole = value.is_integer() and abs(value) < _LARGEST_EXACT_FLOAT
        return str(int(value)) if whole else repr(value)
    return json.dumps(value)


def hyperparameter_problems(hyperparameters: Mapping[str, JsonValue]) -> Iterator[str]:
    """What SageMaker would refuse, one sentence each."""
    if len(hyperparameters) > 100:
        yield f"{len(hyperparameters)} hyperparameters; SageMaker takes 100"
    for name, value in hyperparameters.items():
        if not re.fullmatch(r".{1,256}", name):
            yield f"hyperparameter name {name[:80]!r}: 1 to 256 characters in one line"
        if value is None:
            yield f"hyperparameter {name[:80]!r} is None: leave it out instead"
        elif not re.fullmatch(r".{0,2500}", hyperparameter_text(value)):
            yield f"hyperparameter {name[:80]!r}: up to 2,500 characters of text in one line"
