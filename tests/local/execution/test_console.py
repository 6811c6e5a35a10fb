"""A host's output on its way to the log."""

from __future__ import annotations

from cdao_sdk.local.execution.console import Console, metric_definitions

from .conftest import MemoryLog

LOSS = metric_definitions([("loss", r"loss=(\S+)")])


def test_a_metric_may_come_in_pieces() -> None:
    console = Console(MemoryLog().open("h"), LOSS)
    for piece in (b"x\nlo", b"ss", b"=0.", b"5", b"\n"):
        console.write(piece)
    assert console.metrics == {"loss": 0.5}


def test_the_last_line_without_an_end_counts() -> None:
    console = Console(MemoryLog().open("h"), LOSS)
    console.write(b"loss=1\n\nloss=2")
    assert console.last_line == "loss=2"
    console.close()
    assert console.metrics == {"loss": 2.0}


def test_a_line_without_end_is_not_kept_for_ever() -> None:
    console = Console(MemoryLog().open("h"), LOSS)
    for _ in range(100):
        console.write(b"." * 10_000)
    assert len(console.last_line) < 100_000


def test_output_over_the_limit_is_dropped_with_a_word() -> None:
    log = MemoryLog()
    console = Console(log.open("h"), LOSS, limit_bytes=10)
    for number in range(5):
        console.write(b"loss=%d\n" % number)
    console.note("a word of ours still comes through")
    first, cut, note, word = log.text("h").splitlines()
    assert (first, cut) == ("loss=0", "los")
    assert note.endswith("of output: the rest of it is not logged")
    assert word == "[embedded SageMaker] a word of ours still comes through"
    assert console.metrics == {"loss": 4.0}
