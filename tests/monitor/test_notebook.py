from __future__ import annotations

from typing import TYPE_CHECKING

from cdao_sdk.monitor.notebook import has_kernel, snapshot_html

if TYPE_CHECKING:
    from collections.abc import Callable

    from cdao_sdk.aws.watch import Job
    from cdao_sdk.monitor.snapshot import Snapshot


def test_a_test_run_is_no_notebook() -> None:
    assert not has_kernel()


def test_html_shows_every_job(snapshot: Snapshot) -> None:
    text = snapshot_html(snapshot)
    for words in (
        "preprocess",
        "✅\u00a0Completed",
        "InProgress/Downloading",
        "❌\u00a0Failed",
        "auc=0.7812",
    ):
        assert words in text


def test_html_is_escaped(
    make_job: Callable[..., Job], take_snapshot: Callable[..., Snapshot]
) -> None:
    text = snapshot_html(take_snapshot([make_job(failure_reason="<script>alert(1)</script>")]))
    assert "<script>" not in text
    assert "&lt;script&gt;" in text
