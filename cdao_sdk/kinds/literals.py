"""Words of which a text has one if a regular expression is found in it: a quick look before a slow.

Looking for a word is some hundred times as fast as trying a pattern without regard to case, and
most texts have no word of most patterns.
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_SHORTEST = 4
_OPENING = {"(": ")", "[": "]"}
_LOOKS = re.compile(r"\(\?<?[=!]")  # ahead or behind, and finds nothing itself
_HEAD = re.compile(r"^\((\?(P<\w+>|[\w-]*:))?")


def literals(pattern: str) -> tuple[str, ...]:
    """In lower case, one word for each alternative of a pattern.

    Args:
        pattern: A regular expression that is tried without regard to case.

    Returns:
        Words of which a matching text, in lower case, has at least one; empty if one of the
        alternatives has no word of four letters that it always needs.

    Example:
        >>> literals(r"rate exceeded|\\bSlow(ing)?Down\\b")
        ('rate exceeded', 'slow')
        >>> literals(r"rate exceeded|\\b429\\b")
        ()
    """
    words: list[str] = []
    for branch in _branches(_parts(pattern)):
        found = max(filter(None, _candidates(branch)), key=_shortest, default=())
        if not found or _shortest(found) < _SHORTEST:
            return ()
        words += found
    return tuple(words)


def _shortest(words: tuple[str, ...]) -> int:
    return min(map(len, words))


def _parts(pattern: str) -> Iterator[str]:
    """Characters, escapes, and groups and sets as a whole."""
    here = 0
    while here < len(pattern):
        end = _end(pattern, here)
        yield pattern[here:end]
        here = end


def _end(pattern: str, here: int) -> int:
    if pattern[here] == "\\":
        return here + 2
    if pattern[here] == "{":
        return pattern.index("}", here) + 1
    if pattern[here] not in _OPENING:
        return here + 1
    closing, is_set = _OPENING[pattern[here]], pattern[here] == "["
    inside = here + 1
    while inside < len(pattern) and pattern[inside] != closing:
        inside = inside + 1 if is_set and pattern[inside] != "\\" else _end(pattern, inside)
    return inside + 1


def _branches(parts: Iterator[str]) -> Iterator[list[str]]:
    branch: list[str] = []
    for part in parts:
        if part == "|":
            yield branch
            branch = []
        else:
            branch.append(part)
    yield branch


def _candidates(branch: list[str]) -> Iterator[tuple[str, ...]]:
    """Sets of words of which each has one in every text that the branch is found in."""
    run = ""
    for part, follows in pairwise([*branch, ""]):
        if follows[:1] in ("?", "*", "{"):  # it may be missing
            yield (run,)
            run = ""
        elif _is_literal(part):
            run += part[-1].lower()
        else:
            yield (run,)
            run = ""
            if part[0] == "(" and not _LOOKS.match(part):
                yield literals(_HEAD.sub("", part[:-1]))
    yield (run,)


def _is_literal(part: str) -> bool:
    if part[0] == "\\":
        return not part[1].isalnum()
    return part[0] not in ".^$+?*{(["
