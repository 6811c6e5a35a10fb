from __future__ import annotations

import pytest

from cdao_sdk.kinds.literals import literals


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        (r"Rate exceeded|SlowDown", ("rate exceeded", "slowdown")),
        (r"mount\.nfs4?:", ("mount.nfs",)),
        (r"exceeded? a limit", (" a limit",)),
        (r"a+bcdefg", ("bcdefg",)),
        (r"Quota \"(?P<name>[^\"\])]+)\" is 0", ('quota "',)),
        (r"names{0,2} of jobs", (" of jobs",)),
    ],
)
def test_a_word_of_each_alternative_is_found(pattern: str, words: tuple[str, ...]) -> None:
    assert literals(pattern) == words


@pytest.mark.parametrize("pattern", ["", r"\b429\b", r"rate exceeded|\d+ up", r"(a|b)?c[d]e"])
def test_a_pattern_that_may_do_without_words_has_none(pattern: str) -> None:
    assert literals(pattern) == ()
