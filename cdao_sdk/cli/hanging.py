"""Lines of a label and a text: in a terminal long texts go on below themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

__all__ = ["print_hanging"]

_LEAST = 30
"""Columns that a text needs to go on beside its label."""


def print_hanging(console: Console, line: Text, indent: int) -> None:
    """Print one line; what has no room goes on below, ``indent`` columns in.

    Where no terminal is, the line stays whole: good for ``grep``.

    Args:
        console: Where to.
        line: The line, its label in the first ``indent`` columns.
        indent: Columns of the label.
    """
    if not console.is_terminal or len(line) <= console.width or console.width - indent < _LEAST:
        console.print(line, soft_wrap=True)
        return
    grid = Table.grid()
    grid.add_column(width=indent, no_wrap=True)
    grid.add_column(overflow="fold")
    grid.add_row(line[:indent], line[indent:])
    console.print(grid)
