"""Reports of real jobs of the embedded SageMaker, and the report as a value."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest

import cdao_sdk
from cdao_sdk.errors import CdaoError, NotFound
from cdao_sdk.flyte.execution_report import Report
from cdao_sdk.flyte.local_engine import node_needs
from cdao_sdk.kinds.naming import job_name
from cdao_sdk.monitor.report_source import report_of
from cdao_sdk.settings import holder

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from cdao_sdk.flyte.services import Services

PAGE = "<!DOCTYPE html><html><head></head><body>all is well</body></html>"


@cdao_sdk.sagemaker_processing_task(framework="sklearn")
def double(number: int) -> int:
    return 2 * number


@cdao_sdk.sagemaker_workflow
def pipeline(number: int) -> int:
    return double(number=double(number=number))


@cdao_sdk.sagemaker_workflow
def nested(number: int) -> int:
    return double(number=pipeline(number=number))


def wait_until_over(boto: Any, name: str) -> None:
    client, deadline = boto("sagemaker"), time.monotonic() + 30
    while client.describe_processing_job(ProcessingJobName=name)["ProcessingJobStatus"] not in (
        "Completed",
        "Failed",
    ):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_an_execution_reports_what_it_was(on_embedded: Path, tmp_path: Path) -> None:
    execution = cdao_sdk.run(pipeline, {"number": 3}).wait(timeout=90)
    report = execution.report(tmp_path / "reports" / "of.html")
    assert (tmp_path / "reports" / "of.html").read_text() == report.html
    facts: Any = report.facts
    assert facts["outcome"] == "succeeded"
    assert facts["workflow"].endswith("pipeline")
    assert facts["critical_path"] == [job.name for job in execution.jobs()]
    assert facts["cost_known_for_jobs"] == 2
    assert facts["embedded"] is True
    record: Any = cdao_sdk.get_execution(execution.id)
    assert record.needs == {"n0": (), "n1": ("n0",)}
    assert execution.id in str(report)
    assert "AWS charged nothing" in report.html
    again = cdao_sdk.report_sagemaker_jobs(execution.id, tmp_path)
    assert (tmp_path / f"{execution.id}.html").is_file()
    assert again.facts["critical_path"] == facts["critical_path"]


def test_what_a_node_waits_for_is_known_in_subworkflows_too() -> None:
    assert node_needs(nested) == {"n0": (), "n0-n0": (), "n0-n1": ("n0-n0",), "n1": ("n0",)}
    assert node_needs(double) == {}


def test_a_failed_job_is_told_of_by_its_execution_s_id_alone(
    services: Services, boto: Any, start_processing: Callable[..., str], unique: str
) -> None:
    code = "print('about to'); raise KeyError('age')"
    tags = {"cdao:task": "flow.clean", "cdao:node": "n0", "cdao:execution": unique}
    name = start_processing(job_name(unique, "n0", 0), code, tags)
    wait_until_over(boto, name)
    report = report_of(unique, services.clients, holder.gather().settings)
    facts: Any = report.facts
    assert facts["outcome"] == "failed"
    assert facts["status"] is None  # nobody here has its record
    (job,) = facts["jobs"]
    assert job["diagnosis"]["class"] == "user"
    assert "KeyError" in report.html
    assert "clean" in report.html
    assert report_of(name, services.clients, holder.gather().settings).facts["jobs"] == [job]


def test_a_job_that_runs_is_a_report_so_far(
    services: Services, start_processing: Callable[..., str], unique: str
) -> None:
    start_processing(job_name(unique, "n0", 0), "import time; time.sleep(300)")
    report = report_of(unique, services.clients, holder.gather().settings)
    assert report.facts["ended"] is None
    assert "Running so far" in report.html


def test_nothing_of_that_name_is_not_found(services: Services) -> None:
    with pytest.raises(NotFound, match="no-such-job"):
        report_of("no-such-job", services.clients, holder.gather().settings)


class TestReport:
    report = Report("a0f3", PAGE, "pipeline: succeeded, 2 jobs\n  more", {"outcome": "succeeded"})

    def test_it_is_written_to_a_file_or_into_a_folder(self, tmp_path: Path) -> None:
        assert self.report.save(tmp_path / "new" / "x.html").read_text() == PAGE
        assert self.report.save(tmp_path) == tmp_path / "a0f3.html"
        assert self.report.save(f"{tmp_path}/later/") == tmp_path / "later" / "a0f3.html"
        assert [path.name for path in (tmp_path / "new").iterdir()] == ["x.html"]

    def test_what_cannot_be_written_says_so(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(CdaoError, match=r"file/x\.html' cannot|cannot be written to"):
            self.report.save(tmp_path / "file" / "x.html")

    def test_a_notebook_shows_a_line_and_a_frame_that_reaches_nothing(self) -> None:
        html = self.report._repr_html_()
        assert html.startswith("<p>pipeline: succeeded, 2 jobs</p><iframe")
        assert "allow-same-origin" not in html
        assert "<body>" not in html  # the page is escaped within the frame's attribute

    def test_it_is_short_as_text(self) -> None:
        assert str(self.report) == "pipeline: succeeded, 2 jobs\n  more"
        assert repr(self.report) == "<Report of a0f3: 0 KB of HTML>"
        json.dumps(self.report.facts)
