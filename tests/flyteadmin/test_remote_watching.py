"""Watching executions on a cluster: by every name, with few questions, with and without Flyte."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import cluster_flows as flows
import pytest
from click.testing import CliRunner

import cdao_sdk
from cdao_sdk.cli.app import cli
from cdao_sdk.flyte import remote
from cdao_sdk.monitor.feed import JobFeed
from cdao_sdk.settings import holder

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from flyte_double import FlyteDouble

    from cdao_sdk.flyte.services import Services
    from cdao_sdk.monitor.snapshot import Snapshot


def feed_of(execution: Any, services: Services, poll_seconds: float = 5.0) -> JobFeed:
    settings = holder.gather({"poll_interval_seconds": poll_seconds}).settings
    return JobFeed(execution.id, services.clients, settings, remote=execution)


def until(feed: JobFeed, fits: Callable[[Snapshot], object]) -> Snapshot:
    deadline = time.monotonic() + 30
    while not fits(snapshot := feed.snapshot(hurried=True)):
        assert time.monotonic() < deadline, snapshot
        time.sleep(0.02)
    return snapshot


def test_execution_is_watched_by_every_name_and_from_elsewhere(
    cluster: FlyteDouble, calls_of: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    execution: Any = cdao_sdk.run(flows.outer, inputs={"number": 1}).wait(timeout=60)
    names = (execution.url, f"flytesnacks:development:{execution.id}", execution.id)
    # One look finds the execution, one the graph.
    asked = calls_of(lambda: cdao_sdk.monitor_sagemaker_jobs(names[0]))
    assert asked == {"GetExecution": 1, "GetWorkflow": 1}
    told = capsys.readouterr().out
    assert "double n0-0-n0" in told
    assert told.endswith(f"execution {execution.id} of outer: SUCCEEDED\n")
    facts = execution.report().facts
    assert (facts["project"], facts["domain"]) == ("flytesnacks", "development")
    assert [each.split("-")[1] for each in facts["critical_path"]] == ["n0", "n1"]
    # On another machine, which knows of no cluster either.
    cdao_sdk.configure(admin_endpoint=None, state_dir=tmp_path / "elsewhere")
    [first, second] = [job.name for job in execution.jobs()]
    for name in names:
        cdao_sdk.monitor_sagemaker_jobs(name)
        assert f"execution {execution.id}\n" in capsys.readouterr().out
        for command in ("jobs", "logs", "monitor"):
            done = CliRunner().invoke(cli, [command, name])
            assert done.exit_code == 0, done.output
            assert "double n1-0-n0" in done.output
    assert cdao_sdk.report_sagemaker_jobs(names[0]).facts["execution"] == execution.id
    cdao_sdk.monitor_sagemaker_jobs(first)
    assert second not in capsys.readouterr().out


def test_flyte_is_asked_seldom_and_its_silence_is_a_note(
    make_flyte: Any, use_cluster: Any, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    flyte = use_cluster(make_flyte())
    execution: Any = cdao_sdk.run(flows.sleeping)
    feed = feed_of(execution, services)
    feed.open()
    until(feed, lambda snapshot: snapshot.jobs)
    before, began = flyte.calls["GetExecution"], time.monotonic()
    for _ in range(20):
        assert not feed.is_over
        assert feed.snapshot(hurried=True).note == ""
    assert flyte.calls["GetExecution"] - before <= 1 + (time.monotonic() - began)
    monkeypatch.setattr(remote, "_RETRY_SECONDS", 0.0)
    flyte._server.stop(0).wait()
    snapshot = until(feed, lambda snapshot: snapshot.note)
    assert snapshot.note == "FlyteAdmin does not answer; the jobs are as AWS tells"
    assert (snapshot.status, len(snapshot.jobs)) == ("RUNNING", 1)
    # Who begins to watch now is shown what AWS knows.
    done = CliRunner().invoke(cli, ["monitor", execution.url, "--no-wait"])
    assert done.exit_code == 0, done.output
    assert "As AWS tells, without Flyte" in done.output
    assert "InProgress" in done.output
    # But an execution is not stopped by its jobs alone: they would be tried again.
    assert CliRunner().invoke(cli, ["stop", execution.id]).exit_code != 0
    assert CliRunner().invoke(cli, ["stop", snapshot.jobs[0].name]).exit_code == 0


def test_flyte_tells_of_jobs_where_aws_refuses(
    cluster: FlyteDouble, proxy: Any, proxied: Services, calls_of: Any
) -> None:
    execution: Any = cdao_sdk.run(
        flows.failing, inputs={"number": 3}, endpoint_url="http://127.0.0.1:1"
    )
    assert execution.finished(60)
    for kind in ("Training", "Processing", "Transform"):
        proxy.refusals[f"List{kind}Jobs"] = "AccessDeniedException"
    feed = feed_of(execution, proxied)
    snapshot = feed.open()
    assert "the jobs are those that Flyte was told of, for AWS refuses" in snapshot.note
    assert [(row.label, row.status) for row in snapshot.jobs] == [
        ("double", "Completed"),
        ("broken", "Failed"),
    ]
    assert snapshot.jobs[1].diagnosis is not None
    feed.snapshot(fresh=True)
    assert (feed.is_over, feed.is_settled) == (True, True)
    proxy.seen.clear()
    assert calls_of(lambda: feed.snapshot(hurried=True)) == {}
    assert not [call for call in proxy.seen if call.startswith("List")]
