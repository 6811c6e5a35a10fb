from __future__ import annotations

import pytest

from cdao_sdk.monitor import wording


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-1, "0.0s"),
        (0.04, "0.0s"),
        (9.94, "9.9s"),
        (9.96, "10s"),
        (59.4, "59s"),
        (59.6, "1m 00s"),
        (3599.6, "1h 00m"),
        (86400, "1d 00h"),
    ],
)
def test_a_duration_has_at_most_two_units(seconds: float, words: str) -> None:
    assert wording.duration(seconds) == words


def test_metrics_keep_their_order_and_four_digits() -> None:
    metrics = {"loss": 0.123456, "epoch": 12.0, "bad": float("nan"), "huge": 1e20}
    assert wording.metric_list(metrics) == "loss=0.1235  epoch=12  bad=nan  huge=1e+20"


def test_what_a_job_prints_cannot_steer_the_terminal() -> None:
    text = "\x1b[31mred\x1b[0m\x1b]0;title\x07 \x1b[2Jbell\x07 a\tb\r\nnext\x9b1m"
    assert wording.printable(text) == "red bell a  b\nnext1m"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("0%\r50%\r100%", "100%"),
        ("0%\r100%\r\nnext\r", "100%\nnext"),
        ("\r\r\n", "\n"),
        ("\rdone", "done"),
    ],
)
def test_a_progress_bar_is_what_it_shows_last(text: str, shown: str) -> None:
    assert wording.printable(text) == shown


def test_no_sequence_leaves_its_letters_behind_or_turns_the_text() -> None:
    text = "a\x1b(Bb\x1bP1$r0m\x1b\\c\x1b_app\x1b\\d\u202egnp.exe\u202c"
    assert wording.printable(text) == "abcdgnp.exe"
