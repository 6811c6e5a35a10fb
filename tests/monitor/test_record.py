from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from cdao_sdk.monitor.record import read_facts
from cdao_sdk.settings import holder

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def records() -> Path:
    return holder.gather().settings.state_path / "executions"


def test_a_record_is_read(records: Path, write_record: Callable[..., None]) -> None:
    write_record("abc", status="FAILED", error="no column")
    facts = read_facts(records, "abc")
    assert facts is not None
    assert (facts.workflow, facts.nodes, facts.error) == (
        "flow.pipeline",
        ("n0", "n1"),
        "no column",
    )
    assert facts.is_over


def test_there_may_be_no_record(tmp_path: Path) -> None:
    assert read_facts(tmp_path, "abc") is None
    assert read_facts(tmp_path / "missing", "abc") is None
    assert read_facts(tmp_path, "../abc") is None


def test_a_record_whose_process_is_gone_reads_as_failed(
    records: Path, write_record: Callable[..., None]
) -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    write_record("abc", status="RUNNING", pid=process.pid)
    facts = read_facts(records, "abc")
    assert facts is not None
    assert facts.status == "FAILED"
    assert "process" in facts.error
