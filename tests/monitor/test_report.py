"""An execution's report: what it adds up, and the page."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
import re
from datetime import datetime, timedelta, timezone
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cdao_sdk.flyte.deck_facts import Cost, JobFacts, Stage
from cdao_sdk.kinds.failures import Diagnosis
from cdao_sdk.monitor.report import MOST_BYTES, execution_report
from cdao_sdk.monitor.report_contents import Contents, contents_of, facts_document, summary_text
from cdao_sdk.monitor.report_facts import RunFacts
from cdao_sdk.monitor.snapshot import JobRow, Snapshot

T0 = datetime(2026, 11, 23, 21, 0, tzinfo=timezone.utc)
EXECUTION = "a0f3a9d1c0b7e5f60718"
HOSTILE = "</script></style><script>alert('x')</script>\"><img src=x onerror=y>&\x1b[31m\u202e"
DIAMOND = {"n1": ("n0",), "n2": ("n0",), "n3": ("n1", "n2")}


def at(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


def row(
    node: str, start: float = 0, seconds: float = 60, attempt: int = 0, **values: Any
) -> JobRow:
    """A processing job that succeeded, as far as nothing else is said."""
    state = values.get("state", "succeeded")
    is_over = state not in ("running", "waiting")
    known: dict[str, Any] = {
        "name": f"{EXECUTION}-{node}-dtyxehan-{attempt}",
        "label": f"step {node}" + (f" (try {attempt + 1})" if attempt else ""),
        "node": node,
        "execution": EXECUTION,
        "kind": "processing",
        "kind_title": "Processing",
        "state": state,
        "status": "Completed" if state == "succeeded" else "Failed" if is_over else "InProgress",
        "secondary_status": "",
        "message": "",
        "created": at(start),
        "started": at(start + seconds / 4),
        "ended": at(start + seconds) if is_over else None,
        "elapsed_seconds": float(seconds),
        "instance_type": "ml.m5.large",
        "instance_count": 1,
        "spot": False,
        "savings_percent": None,
        "billable_seconds": int(seconds),
        "attempt": attempt,
    }
    return JobRow(**{**known, **values})


def shown(
    *rows: JobRow, jobs: dict[str, JobFacts] | None = None, run: RunFacts | None = None, **said: Any
) -> Contents:
    snapshot = Snapshot("execution", rows, taken=at(10_000), **said)
    return contents_of(snapshot, run or RunFacts(id=EXECUTION), jobs or {})


def page_of(*rows: JobRow, run: RunFacts | None = None, **said: Any) -> Page:
    snapshot = Snapshot("execution", rows, taken=at(10_000), **said)
    return Page(execution_report(snapshot, run=run or RunFacts(id=EXECUTION)))


def described(job: JobRow, **values: Any) -> dict[str, JobFacts]:
    known: dict[str, Any] = {"created": job.created, "ended": job.ended, "taken": at(10_000)}
    facts = JobFacts(job.name, job.kind_title, job.state, job.status, **{**known, **values})
    return {job.name: facts}


class Page(HTMLParser):
    """Checks nesting, and that nothing runs or loads but the page's own script."""

    VOID = frozenset({"meta", "br", "path", "polyline", "polygon"})

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.html = html
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.text = ""
        self.scripts: list[str] = []
        self.feed(html)
        self.close()
        assert not self.open
        self.check()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in self.VOID
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] == ["script"]:
            self.scripts.append(data)
        elif self.open[-1:] != ["style"]:
            self.text += data

    def check(self) -> None:
        assert len(self.html.encode("utf-8", "replace")) <= MOST_BYTES
        ids = {attributes["id"] for _, attributes in self.tags if "id" in attributes}
        for tag, attributes in self.tags:
            assert tag not in {"img", "link", "iframe", "object", "embed", "base", "form"}
            assert not [name for name in attributes if name.startswith("on") or name == "src"]
            href = attributes.get("href", "")
            if href.startswith("#"):
                assert href[1:] in ids
            elif href:
                assert href.startswith(("https://", "http://"))
                assert attributes["rel"] == "noopener noreferrer"
        assert "url(" not in self.html
        assert "@import" not in self.html
        (script,) = self.scripts
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        (policy,) = (each["content"] for _, each in self.tags if "http-equiv" in each)
        assert policy == (
            f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
        )

    def classes(self, name: str) -> list[dict[str, str]]:
        return [each for _, each in self.tags if name in each.get("class", "").split()]


class TestBill:
    def test_costs_are_added_up_and_it_is_said_of_how_many_jobs(self) -> None:
        bill = shown(row("n0", cost_usd=0.25), row("n1", cost_usd=0.5), row("n2")).bill
        assert (bill.usd, bill.priced, bill.jobs) == (0.75, 2, 3)

    def test_an_unknown_price_is_not_zero(self) -> None:
        contents = shown(row("n0"))
        assert contents.bill.usd is None
        assert "cost unknown" in summary_text(contents)
        assert facts_document(contents)["cost_usd"] is None

    def test_a_description_prices_a_job_whose_row_does_not(self) -> None:
        job = row("n0")
        bill = shown(job, jobs=described(job, cost=Cost(0.1, "2026-09-24"))).bill
        assert (bill.usd, bill.as_of) == (0.1, "2026-09-24")

    def test_a_job_that_never_began_costs_nothing(self) -> None:
        job = row("n0", state="failed", billable_seconds=None, started=None)
        assert shown(job).bill.usd is None  # nobody has looked
        assert shown(job, jobs=described(job)).bill.usd == 0

    def test_spot_savings_are_dollars_and_percent_of_the_spot_jobs(self) -> None:
        bill = shown(
            row("n0", spot=True, savings_percent=50.0, cost_usd=1.0),
            row("n1", spot=True, savings_percent=75.0, cost_usd=1.0),
            row("n2", cost_usd=10.0),
        ).bill
        assert bill.saved_usd == pytest.approx(1 + 3)
        assert bill.saved_percent == pytest.approx(100 * 4 / 6)

    def test_savings_are_those_of_time_where_a_price_is_unknown(self) -> None:
        bill = shown(
            row("n0", spot=True, savings_percent=50.0, billable_seconds=100),
            row("n1", spot=True, savings_percent=75.0, billable_seconds=50, instance_count=2),
        ).bill
        assert bill.saved_usd is None
        assert bill.saved_percent == pytest.approx(100 * (1 - 200 / 600))

    def test_without_spot_nothing_is_said_of_savings(self) -> None:
        assert shown(row("n0", cost_usd=1.0)).bill.saved_percent is None
        assert "Spot saved" not in page_of(row("n0")).text


class TestCriticalPath:
    def nodes(self, *rows: JobRow, needs: dict[str, tuple[str, ...]] | None = None) -> list[str]:
        run = RunFacts(id=EXECUTION, needs=needs or {})
        return [f"{job.row.node}.{job.row.attempt}" for job in shown(*rows, run=run).path]

    def test_of_two_branches_it_is_the_one_that_ended_last(self) -> None:
        rows = (row("n0", 0, 50), row("n1", 50, 30), row("n2", 50, 90), row("n3", 141, 20))
        assert self.nodes(*rows, needs=DIAMOND) == ["n0.0", "n2.0", "n3.0"]

    def test_only_what_a_node_waits_for_is_on_it(self) -> None:
        beside = row("n9", 0, 140)  # ends right before n3 begins, but n3 does not wait for it
        rows = (row("n0", 0, 50), row("n1", 50, 30), row("n2", 50, 80), row("n3", 141, 20), beside)
        assert self.nodes(*rows, needs={**DIAMOND, "n9": ()}) == ["n0.0", "n2.0", "n3.0"]

    def test_nodes_without_jobs_are_looked_through(self) -> None:
        rows = (row("n0", 0, 50), row("n2", 60, 50))
        assert self.nodes(*rows, needs={"n0": (), "n1": ("n0",), "n2": ("n1",)}) == ["n0.0", "n2.0"]

    def test_a_part_of_a_node_waits_for_what_the_node_waits_for(self) -> None:
        rows = (row("n0", 0, 50), row("n1-n0", 60, 50), row("n1-n1", 111, 50), row("n2", 170, 9))
        needs = {"n1": ("n0",), "n1-n0": (), "n1-n1": ("n1-n0",), "n2": ("n1",)}
        assert self.nodes(*rows, needs=needs) == ["n0.0", "n1-n0.0", "n1-n1.0", "n2.0"]

    def test_a_failed_try_is_a_part_of_the_way(self) -> None:
        rows = (row("n0"), row("n1", 60, 50, state="failed"), row("n1", 120, 50, attempt=1))
        assert self.nodes(*rows, needs=DIAMOND) == ["n0.0", "n1.0", "n1.1"]

    def test_without_a_graph_the_times_tell(self) -> None:
        rows = (row("n0", 0, 50), row("n1", 50, 30), row("n2", 50, 90), row("n3", 141, 20))
        assert self.nodes(*rows) == ["n0.0", "n2.0", "n3.0"]
        assert "the graph is not known" in page_of(*rows).text


class TestLines:
    def test_tries_of_a_node_are_one_line(self) -> None:
        (line,) = shown(row("n1", state="failed"), row("n1", 70, attempt=1)).lines
        assert (line.title, line.state, len(line.entries)) == ("step n1", "succeeded", 2)

    def test_the_many_jobs_of_a_map_are_one_line(self) -> None:
        rows = [row(f"n1-n{i}", label=f"score n1-n{i}") for i in range(50)]
        rows[7] = row("n1-n7", state="failed", label="score n1-n7")
        first, line = shown(row("n0"), *rows).lines
        assert (first.is_map, line.is_map, line.title) == (False, True, "score")
        assert (line.states["failed"], line.states["succeeded"]) == (1, 49)
        assert line.state == "failed"

    def test_a_few_nodes_of_a_subworkflow_stay_apart(self) -> None:
        assert len(shown(*(row(f"n1-n{i}") for i in range(4))).lines) == 4

    def test_without_an_end_the_time_goes_on(self) -> None:
        contents = shown(row("n0"), row("n1", 100, 50, state="running"), status="RUNNING")
        assert (contents.span.is_over, contents.span.end) == (False, at(10_000))


class TestPage:
    def test_it_shows_what_matters(self) -> None:
        text = page_of(
            row("n0", 0, 3600, cost_usd=0.5, metrics={"rows": 1000.0}),
            row(
                "n1", 3600, 1800, cost_usd=1.5, spot=True, savings_percent=70.0,
                instance_type="ml.g5.2xlarge", instance_count=2,
                hyperparameters={"depth": "6", "api_token": "hunter22"},
                metric_series={"loss": [(at(i), 1 / (i + 1)) for i in range(9)]},
                utilization={"GPUUtilization": 11.0}, hint="Take a smaller instance.",
                links=(("CloudWatch Logs", "https://example.com/logs"),),
            ),
            row("n2", 3600, 60),
            status="SUCCEEDED",
            run=RunFacts(
                id=EXECUTION, workflow="risk.flows.pipeline", project="risk", domain="production",
                region="eu-central-1", started=at(-4), ended=at(5404), needs=DIAMOND,
                url="https://flyte.example.com/console", sdk_version="1.2.3",
            ),
        ).text  # fmt: skip
        for words in (
            "pipeline",
            EXECUTION,
            "Succeeded",
            "risk, production",
            "Flyte console",
            "1h 30m",
            "2026-11-23 20:59 to 22:30 UTC",
            "3 succeeded",
            "$2.00",
            "prices known for 2 of 3 jobs",
            "70%",
            "$3.50 of the spot jobs' price",
            "Critical path",
            "step n0 → step n1",
            "75%",
            "ml.g5.2xlarge x2",
            "highest 1",
            "Take a smaller instance.",
            "depth",
            "CloudWatch Logs",
            "region eu-central-1",
            "CDAO SDK 1.2.3",
            f"cdao report {EXECUTION}",
        ):
            assert words in text, words
        assert "hunter22" not in text

    def test_the_timeline_is_to_scale(self) -> None:
        page = page_of(row("n0", 0, 100), row("n1", 100, 100))
        styles = [each.get("style", "") for each in page.classes("work")]
        bars = [style for style in styles if style.startswith("left")]
        assert bars == ["left:12.500%;width:37.500%", "left:62.500%;width:37.500%"]

    def test_stages_and_interruptions_are_those_of_the_description(self) -> None:
        job = row("n0", 0, 100, kind="training", kind_title="Training")
        stages = (
            Stage("Starting", at(0), at(20)),
            Stage("Training", at(20), at(60)),
            Stage("Interrupted", at(60), at(70)),
            Stage("Training", at(70), at(95)),
            Stage("Uploading", at(95), at(100)),
            Stage("Completed", at(100), at(100)),
        )
        snapshot = Snapshot("execution", (job,), taken=at(200))
        page = Page(execution_report(snapshot, jobs=described(job, stages=stages)))
        assert "1 interruption" in page.text
        (run,) = page.classes("run")
        assert run["aria-label"] == (
            "Completed: Starting 20s, Training 40s, Interrupted 10s, Training 25s, Uploading 5.0s"
        )

    def test_only_some_on_the_critical_path_are_marked(self) -> None:
        rows = (row("n0", 0, 50), row("n1", 50, 30), row("n2", 50, 90))
        page = page_of(*rows, run=RunFacts(id=EXECUTION, needs=DIAMOND))
        assert len(page.classes("critical")) == 2
        assert len(page_of(row("n0"), row("n1", 60)).classes("critical")) == 0

    def test_a_failure_says_cause_mend_traceback_and_log(self) -> None:
        page = page_of(
            row(
                "n0", state="failed", error="AlgorithmError: KeyError: 'age'",
                diagnosis=Diagnosis(
                    "user", "The code raised KeyError.", "Correct it.", retryable=False,
                    user_traceback="Traceback\n  in clean\nKeyError: 'age'",
                ),
                log_tail=("one", "two <b>"),
            ),
            status="FAILED",
            error=f"Processing job {EXECUTION}-n0-dtyxehan-0 failed",
        )  # fmt: skip
        for words in (
            "What went wrong", "The code raised KeyError.", "What to do: Correct it.",
            "a retry alone will not help", "in clean", "Last 2 log lines", "two <b>",
        ):  # fmt: skip
            assert words in page.text, words
        assert f"{EXECUTION}-n0-dtyxehan-0 failed" not in page.text  # said already

    def test_a_failure_without_a_diagnosis_gets_one_of_what_is_known(self) -> None:
        error = "CapacityError: Unable to provision requested ML compute capacity."
        page = page_of(row("n0", state="failed", error=error), status="FAILED")
        assert "capacity" in page.text
        assert "another attempt may succeed" in page.text

    def test_an_error_that_is_no_job_s_is_told_too(self) -> None:
        page = page_of(row("n0"), status="FAILED", error="ZeroDivisionError: division\nby zero")
        assert "What went wrong" in page.text
        assert "ZeroDivisionError: division" in page.text

    def test_alike_failures_of_a_map_are_told_once(self) -> None:
        said = Diagnosis("data", "No rows.", "Give it some.", retryable=False)
        rows = [
            row(f"n1-n{i}", label=f"score n1-n{i}", group="n1", state="failed", diagnosis=said)
            for i in range(20)
        ]
        page = page_of(*rows, status="FAILED")
        assert len(page.classes("why")) == 1
        assert "Likewise: score n1-n1" in page.text
        assert "and 14 more" in page.text

    def test_a_try_that_was_made_good_is_no_failure(self) -> None:
        page = page_of(
            row("n1", state="failed", error="x"), row("n1", 70, attempt=1), status="SUCCEEDED"
        )
        assert not page.classes("failure") or "What went wrong" not in page.text.split("Details")[0]
        assert "1 failed try was made good by a later one." in page.text
        assert "2 tries" in page.text

    def test_what_hinders_is_said(self) -> None:
        assert "SageMaker is slow" in page_of(row("n0"), note="SageMaker is slow").text

    def test_no_jobs_are_a_page_too(self) -> None:
        assert "Running so far" in page_of(status="RUNNING").text

    def test_a_thousand_jobs_of_a_map_are_a_line_with_its_median(self) -> None:
        rows = [
            row(f"n1-n{i}", i, label=f"score n1-n{i}", metrics={"rmse": float(i)})
            for i in range(1000)
        ]
        page = page_of(row("n0"), *rows)
        assert "1,000 jobs: 1,000 succeeded" in page.text
        assert "up to 60 at the same time" in page.text
        assert "median of 1,000" in page.text
        assert "499.5" in page.text
        assert len(page.html) < 200_000

    def test_much_text_of_many_jobs_is_cut(self) -> None:
        long = "word " * 150
        rows = [
            row(
                f"a{i}", label=f"{i} {long}", state="failed", error=long, log_tail=(long,) * 3,
                hyperparameters={f"{j}": long for j in range(60)}, hint=long,
                metric_series={f"m{j}": [(at(0), 1.0), (at(1), 2.0)] for j in range(50)},
            )
            for i in range(200)
        ]  # fmt: skip
        page = page_of(*rows, status="FAILED", error=long)
        assert "more lines are not shown" in page.text
        assert "more jobs are told of in the table alone" in page.text


SAID = st.one_of(st.text(max_size=60), st.just(HOSTILE), st.just('" onload="x'))


@settings(max_examples=60, deadline=None)
@given(
    texts=st.lists(SAID, min_size=8, max_size=8),
    pairs=st.lists(st.tuples(SAID, SAID), max_size=4),
    values=st.dictionaries(SAID, st.floats(), max_size=4),
    state=st.sampled_from(["waiting", "running", "succeeded", "failed", "stopped"]),
)
def test_hostile_words_stay_words(
    texts: list[str], pairs: list[tuple[str, str]], values: dict[str, float], state: Any
) -> None:
    a, b, c, d, e, f, g, h = texts
    said = Diagnosis("user", a, b, retryable=False, evidence=c, user_traceback=d)
    job = row(
        "n0", name=e, label=f, kind_title=g, status=h, secondary_status=a, message=b, state=state,
        instance_type=c, artifact=d, error=e, log_tail=(f, g), arn=h, metrics=values, hint=a,
        metric_series={name: [(at(0), 1.0), (at(1), y)] for name, y in values.items()},
        hyperparameters=dict(pairs), links=tuple(pairs), diagnosis=said, group=b,
        utilization=values,
    )  # fmt: skip
    run = RunFacts(id=a, workflow=b, project=c, domain=d, region=e, url=f, sdk_version=g)
    snapshot = Snapshot(h, (job, row("n1")), taken=at(99), note=a, status="FAILED", error=b)
    Page(execution_report(snapshot, run=run))
    contents = contents_of(snapshot, run, {})
    json.dumps(facts_document(contents), allow_nan=False)
    assert summary_text(contents)


def test_json_has_the_sums_and_every_job() -> None:
    run = RunFacts(id=EXECUTION, workflow="flow.pipeline", started=T0, ended=at(130))
    contents = shown(
        row("n0", cost_usd=0.5), row("n1", 60, state="failed", error="x"), run=run, status="FAILED"
    )
    document = facts_document(contents)
    assert document["outcome"] == "failed"
    assert document["seconds"] == 130
    assert (document["cost_usd"], document["cost_known_for_jobs"]) == (0.5, 1)
    assert document["critical_path"] == [each.row.name for each in contents.path]
    jobs: Any = document["jobs"]
    assert [job["cost_usd"] for job in jobs] == [0.5, None]
    assert jobs[1]["diagnosis"]["class"] == "unknown"
    assert re.fullmatch(r"2026-11-23T21:02:10Z", str(document["ended"]))


def test_text_begins_with_the_line_that_tells_the_most() -> None:
    run = RunFacts(id=EXECUTION, workflow="flow.pipeline")
    contents = shown(row("n0", cost_usd=0.5), row("n1", 60), run=run, status="SUCCEEDED")
    assert summary_text(contents).splitlines() == [
        f"pipeline ({EXECUTION}): succeeded, 2 jobs, 2m 00s, $0.50 at list price",
        "  prices known for 1 of 2 jobs",
        "  critical path: step n0 → step n1",
    ]


def test_embedded_jobs_are_said_to_have_cost_nothing() -> None:
    run = RunFacts(id=EXECUTION, is_embedded=True)
    page = page_of(row("n0", cost_usd=0.5), run=dataclasses.replace(run, region="us-east-1"))
    assert "built-in SageMaker" in page.text
    assert "AWS charged nothing" in page.text
