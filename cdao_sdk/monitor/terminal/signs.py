"""Signs and bars, in Unicode or, where that cannot be written, in ASCII."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cdao_sdk.monitor import wording

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cdao_sdk.monitor.snapshot import State

__all__ = ["ASCII", "STYLES", "UNICODE", "Signs", "bar", "signs_for"]

# Colour is never the only difference: each state has a sign of its own shape, and words beside it.
STYLES: Mapping[State, str] = {
    "waiting": "yellow",
    "running": "cyan",
    "succeeded": "green",
    "failed": "bold red",
    "stopped": "magenta",
}


@dataclass(frozen=True)
class Signs:
    """The characters of a view that are not words.

    Attributes:
        states: A sign for each state of a job.
        bar: Cells of a bar, from empty by equal steps to full.
        sparks: Cells of a sparkline, from low to high.
        folded: Before a group whose jobs are not shown.
        unfolded: Before one whose jobs are.
        pointer: Before the line that the keys act on.
        times: Between a name and a number.
        ellipsis: Where text was cut off, and before what is not shown.
        rule: Between a label and what its job has printed.
        about: Before an expected duration.
        dot: Between two facts.
        arrows: The keys that move.
    """

    states: Mapping[State, str]
    bar: str
    sparks: str
    folded: str
    unfolded: str
    pointer: str
    times: str
    ellipsis: str
    rule: str
    about: str
    dot: str
    arrows: str

    @property
    def characters(self) -> str:
        """All of them."""
        words = (value for value in vars(self).values() if isinstance(value, str))
        return "".join([*words, *self.states.values()])


UNICODE = Signs(
    states={
        "waiting": "○",
        "running": "●",
        "succeeded": "✔",
        "failed": "✖",
        "stopped": "■",
    },
    bar="░▒█",
    sparks=wording.SPARKS,
    folded="▸",
    unfolded="▾",
    pointer="❯",  # noqa: RUF001 # not ">"
    times="×",  # the sign for "times" is what is meant
    ellipsis="…",
    rule="│",
    about="~",
    dot="·",
    arrows="↑↓",
)
ASCII = Signs(
    states={"waiting": ".", "running": ">", "succeeded": "+", "failed": "X", "stopped": "-"},
    bar="-#",
    sparks="_.-=^",
    folded="+",
    unfolded="-",
    pointer=">",
    times="x",
    ellipsis="..",
    rule="|",
    about="~",
    dot="-",
    arrows="Up/Down",
)


def signs_for(encoding: str | None) -> Signs:
    """The signs that an encoding can write.

    Example:
        >>> signs_for("utf-8") is UNICODE, signs_for("cp1252") is ASCII, signs_for(None) is ASCII
        (True, True, True)
    """
    try:
        UNICODE.characters.encode(encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return ASCII
    return UNICODE


def bar(fraction: float, width: int, signs: Signs) -> str:
    """A bar of so many cells; it is full at 1 only, and never empty above 0.

    Example:
        >>> bar(0.35, 10, UNICODE), bar(0.35, 10, ASCII)
        ('███▒░░░░░░', '###-------')
    """
    steps = len(signs.bar) - 1
    exact = min(max(fraction, 0.0), 1.0) * width * steps
    filled = math.floor(exact + 1e-9)
    if fraction > 0:
        filled = max(filled, 1)
    full, part = divmod(filled, steps)
    cells = signs.bar[-1] * full + (signs.bar[part] if part else "")
    return cells.ljust(width, signs.bar[0])
