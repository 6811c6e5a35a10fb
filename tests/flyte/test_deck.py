from __future__ import annotations

import dataclasses
import datetime as dt
import math
from html.parser import HTMLParser
from typing import Any

import odd_jobs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cdao_sdk.flyte.deck import MOST_BYTES, job_deck
from cdao_sdk.flyte.deck_charts import line_chart, timeline
from cdao_sdk.flyte.deck_facts import Cost, JobFacts, Stage, facts_of
from cdao_sdk.kinds.failures import Diagnosis, translate
from cdao_sdk.kinds.links import console_links
from cdao_sdk.kinds.registry import KINDS, kind

T0 = dt.datetime(2026, 11, 25, 9, 0, tzinfo=dt.timezone.utc)
HOSTILE = "<script>alert('x')</script>\"><img src=x onerror=y>&\x1b[31m\u202e"


def at(seconds: float) -> dt.datetime:
    return T0 + dt.timedelta(seconds=seconds)


def moved(*stages: tuple[str, int, int | None]) -> list[dict[str, object]]:
    return [
        {"Status": status, "StartTime": at(start), "EndTime": None if end is None else at(end)}
        for status, start, end in stages
    ]


TRAINING: dict[str, Any] = {
    "TrainingJobName": "e-n0-train-abcdefgh-0",
    "TrainingJobArn": "arn:aws:sagemaker:us-east-1:123456789012:training-job/e-n0",
    "TrainingJobStatus": "Completed",
    "SecondaryStatus": "Completed",
    "RoleArn": "arn:aws:iam::123456789012:role/r",
    "AlgorithmSpecification": {"TrainingImage": "1.dkr.ecr.us-east-1.amazonaws.com/sklearn:1"},
    "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 2},
    "InputDataConfig": [
        {"ChannelName": "train", "DataSource": {"S3DataSource": {"S3Uri": "s3://b/train.csv"}}},
        {
            "ChannelName": "disk",
            "DataSource": {
                "FileSystemDataSource": {"FileSystemId": "fs-1", "DirectoryPath": "/data"}
            },
        },
    ],
    "OutputDataConfig": {"S3OutputPath": "s3://b/out"},
    "ModelArtifacts": {"S3ModelArtifacts": "s3://b/out/e/output/model.tar.gz"},
    "HyperParameters": {"max_depth": "6", "api_token": "hunter22"},
    "EnableManagedSpotTraining": True,
    "BillableTimeInSeconds": 1800,
    "TrainingTimeInSeconds": 3600,
    "CreationTime": at(0),
    "TrainingStartTime": at(100),
    "TrainingEndTime": at(3700),
    "FinalMetricDataList": [{"MetricName": "auc", "Value": 0.78125}],
    "SecondaryStatusTransitions": moved(
        ("Starting", 0, 100),
        ("Training", 100, 2000),
        ("Interrupted", 2000, 2500),
        ("Training", 2500, 3600),
        ("Uploading", 3600, 3690),
        ("Completed", 3690, 3700),
    ),
}
PROCESSING: dict[str, Any] = {
    "ProcessingJobName": "prep-1",
    "ProcessingJobArn": "arn:aws:sagemaker:us-east-1:1:processing-job/prep-1",
    "ProcessingJobStatus": "Failed",
    "ExitMessage": "[cdao:USER] KeyError: 'age'\n  steps/clean.py:4 in clean: frame['age']",
    "AppSpecification": {"ImageUri": "1.dkr.ecr.us-east-1.amazonaws.com/x:1"},
    "ProcessingResources": {"ClusterConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1}},
    "RoleArn": "arn:aws:iam::1:role/r",
    "CreationTime": at(0),
    "ProcessingStartTime": at(60),
    "ProcessingEndTime": at(120),
    "ProcessingInputs": [{"InputName": "raw", "S3Input": {"S3Uri": "s3://b/raw/"}}],
    "ProcessingOutputConfig": {
        "Outputs": [{"OutputName": "cdao", "S3Output": {"S3Uri": "s3://b/out"}}]
    },
}
TRANSFORM: dict[str, Any] = {
    "TransformJobName": "score-1",
    "TransformJobArn": "arn:aws:sagemaker:us-east-1:1:transform-job/score-1",
    "TransformJobStatus": "Completed",
    "ModelName": "score-1",
    "TransformResources": {"InstanceType": "ml.m5.large", "InstanceCount": 3},
    "TransformInput": {"DataSource": {"S3DataSource": {"S3Uri": "s3://b/test.csv"}}},
    "TransformOutput": {"S3OutputPath": "s3://b/predictions"},
    "CreationTime": at(0),
    "TransformStartTime": at(30),
    "TransformEndTime": at(90),
}
ANSWERS = {"training": TRAINING, "processing": PROCESSING, "transform": TRANSFORM}


def facts(name: str = "training", **changes: Any) -> JobFacts:
    description = {**ANSWERS[name], **changes}
    seen = kind(name).observe(description)
    said = translate(seen.failure_reason, kind=name) if seen.failure_reason else None
    links = console_links(name, "job-1", "us-east-1").titled
    return facts_of(kind(name), description, seen, region="us-east-1", links=links, diagnosis=said)


class Page(HTMLParser):
    """Checks nesting, and collects what a browser would act on."""

    VOID = frozenset({"meta", "br", "img", "link", "input"})
    SVG = frozenset({"path", "polyline", "polygon"})

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.text = ""
        self.feed(html)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in self.SVG
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.text += data + " "


def assert_harmless(html: str) -> Page:
    """Well formed, small, and nothing in it runs or loads."""
    page = Page(html)
    assert len(html.encode("utf-8", "replace")) <= MOST_BYTES
    for tag, attributes in page.tags:
        assert tag not in {"script", "img", "link", "iframe", "object", "embed", "base", "form"}
        assert not [name for name in attributes if name.startswith("on") or name == "src"]
        if "href" in attributes:
            assert attributes["href"].startswith(("https://", "http://"))
            assert attributes["rel"] == "noopener noreferrer"
    assert "url(" not in html
    assert "@import" not in html
    return page


class TestFacts:
    def test_a_training_job_is_read_in_full(self) -> None:
        read = facts()
        assert (read.job_name, read.title, read.state) == (
            "e-n0-train-abcdefgh-0",
            "Training",
            "succeeded",
        )
        assert read.image.endswith("sklearn:1")
        assert read.hosts == (("ml.m5.large", 2),)
        assert read.inputs == (("train", "s3://b/train.csv"), ("disk", "fs-1:/data"))
        assert read.outputs == (
            ("model", "s3://b/out/e/output/model.tar.gz"),
            ("output", "s3://b/out"),
        )
        assert read.savings_percent == 50.0
        assert read.seconds == 3700
        assert [stage.status for stage in read.stages][:2] == ["Starting", "Training"]

    def test_cost_is_list_price_by_paid_time_and_instances(self) -> None:
        cost = facts().cost
        assert cost is not None
        assert cost.usd == pytest.approx(0.115 * 2 * 0.5)
        assert dt.date.fromisoformat(cost.as_of)

    def test_cost_is_unknown_where_a_price_or_the_time_is(self) -> None:
        groups = [
            {"InstanceType": "ml.m5.large", "InstanceCount": 1},
            {"InstanceType": "ml.q9.huge", "InstanceCount": 1},
        ]
        assert facts(ResourceConfig={"InstanceGroups": groups}).cost is None
        assert facts(BillableTimeInSeconds=None).cost is None

    def test_a_processing_job_has_stages_and_data_too(self) -> None:
        read = facts("processing")
        assert [(stage.status, stage.ended) for stage in read.stages] == [
            ("Starting", at(60)),
            ("Running", at(120)),
        ]
        assert read.inputs == (("raw", "s3://b/raw/"),)
        assert read.outputs == (("cdao", "s3://b/out"),)
        assert read.image.endswith("/x:1")

    def test_a_transform_job_names_its_model(self) -> None:
        read = facts("transform")
        assert (read.image, read.hosts) == ("score-1", (("ml.m5.large", 3),))
        assert read.inputs == (("input", "s3://b/test.csv"),)
        assert read.outputs == (("predictions", "s3://b/predictions"),)

    @pytest.mark.parametrize("name", KINDS)
    def test_an_answer_of_a_name_alone_is_enough(self, name: str) -> None:
        described = {kind(name).api.name_field: "j", kind(name).api.status_field: "InProgress"}
        seen = kind(name).observe(described)
        read = facts_of(kind(name), described, seen, region="us-east-1")
        assert read.job_name == "j"
        assert_harmless(job_deck(read))


class TestPage:
    def test_it_shows_what_matters(self) -> None:
        text = assert_harmless(job_deck(facts())).text
        for shown in (
            "Training job",
            "e-n0-train-abcdefgh-0",
            "Completed",
            "Spot",
            "1h 01m",
            "30m 00s",
            "50%",
            "2 \u00d7 ml.m5.large",
            "list price of 20",
            "without storage",
            "Interrupted",
            "Uploading",
            "auc",
            "0.7812",
            "max_depth",
            "s3://b/train.csv",
            "arn:aws:iam::123456789012:role/r",
            "CloudWatch Logs",
            "SageMaker console",
        ):
            assert shown in text, shown

    @pytest.mark.parametrize("name", KINDS)
    def test_every_kind_has_a_deck(self, name: str) -> None:
        page = assert_harmless(job_deck(facts(name)))
        assert KINDS[name].title in page.text

    def test_a_failure_says_cause_mend_and_where(self) -> None:
        text = assert_harmless(job_deck(facts("processing"))).text
        assert "The job's code raised KeyError: 'age'." in text
        assert "What to do:" in text
        assert "steps/clean.py:4 in clean" in text
        assert "a retry alone will not help" in text

    def test_a_failure_shows_the_log_s_end(self) -> None:
        read = dataclasses.replace(facts("processing"), log_tail=("one", "two <b>"))
        text = assert_harmless(job_deck(read)).text
        assert "Last 2 log lines" in text
        assert "two <b>" in text

    def test_it_says_how_to_see_the_whole_execution(self) -> None:
        read = dataclasses.replace(facts(), execution="a0f3a9d1c0b7e5f60718")
        assert "cdao report a0f3a9d1c0b7e5f60718" in assert_harmless(job_deck(read)).text

    def test_unknown_cost_is_a_dash_and_never_zero(self) -> None:
        page = assert_harmless(job_deck(dataclasses.replace(facts(), cost=None)))
        assert "$" not in page.text
        assert "no list price is known" in page.text

    def test_a_small_cost_is_not_rounded_to_nothing(self) -> None:
        read = dataclasses.replace(facts(), cost=Cost(0.0004, ""))
        assert "$0.0004" in assert_harmless(job_deck(read)).text

    def test_a_secret_in_hyperparameters_is_hidden(self) -> None:
        html = job_deck(facts())
        assert "api_token" in html
        assert "hunter22" not in html

    def test_dark_and_light_are_both_served(self) -> None:
        html = job_deck(facts())
        assert "prefers-color-scheme: dark" in html
        assert "default-src 'none'" in html.replace("&#x27;", "'")

    @pytest.mark.parametrize(
        "url",
        [
            "javascript:alert(1)",
            "data:text/html,x",
            "//evil",
            "https://",
            "http://[",
            "s3://b/k",
            "https://b/k?X-Amz-Signature=1",
        ],
    )
    def test_only_web_links_are_links(self, url: str) -> None:
        page = assert_harmless(job_deck(dataclasses.replace(facts(), links=(("x", url),))))
        assert not [attributes for _, attributes in page.tags if "href" in attributes]


@pytest.mark.parametrize(
    ("task", "failure_class", "cause"),
    [
        (odd_jobs.raising, "user", "The job's code raised KeyError: 'key 3'."),
        (odd_jobs.killed, "memory", "The instance ran out of memory."),
    ],
)
def test_a_job_that_really_failed_has_its_cause(
    driven: Any, boto: Any, task: Any, failure_class: str, cause: str
) -> None:
    job = driven(task)
    meta = job.create(number=3)
    job.finish(meta)
    described = boto("sagemaker").describe_processing_job(ProcessingJobName=meta.job_name)
    seen = kind("processing").observe(described)
    said = translate(seen.failure_reason, status=seen.status, kind="processing")
    assert (said.failure_class, said.cause, said.retryable) == (failure_class, cause, False)
    read = facts_of(kind("processing"), described, seen, region="us-east-1", diagnosis=said)
    page = assert_harmless(job_deck(read))
    assert cause in page.text
    assert meta.job_name in page.text


class TestTimeline:
    def test_stages_are_drawn_to_scale_and_ends_are_no_stage(self) -> None:
        page = Page(timeline(facts().stages, None))
        parts = [
            attributes for tag, attributes in page.tags if tag == "i" and "style" in attributes
        ]
        assert len(parts) == 5
        shares = [float(part["style"].split(":")[1].split()[0]) for part in parts]
        assert sum(shares) == pytest.approx(1, abs=1e-3)
        assert shares[1] == pytest.approx(1900 / 3690, abs=1e-4)
        assert "Completed" not in page.text

    def test_a_stage_that_goes_on_lasts_until_now(self) -> None:
        stages = (Stage("Starting", at(0), at(60)), Stage("Training", at(60), None))
        assert "2m 00s" in timeline(stages, at(180))
        assert "still going on" in timeline(stages, at(180))
        assert "Training" not in timeline(stages, None)

    def test_no_time_is_no_bar(self) -> None:
        assert timeline((), None) == ""
        assert timeline((Stage("Starting", at(0), at(0)),), at(9)) == ""


class TestCharts:
    def test_a_course_is_drawn_with_its_scale(self) -> None:
        svg = line_chart("loss", ((0, 1.0), (1, 0.5), (2, 0.25)))
        points = svg.split('polyline class="line" points="')[1].split('"')[0].split()
        assert [point.split(",")[0] for point in points] == ["0.0", "150.0", "300.0"]
        assert "lowest 0.25" in svg
        assert "highest 1" in svg

    def test_a_long_course_keeps_its_peaks(self) -> None:
        series = tuple((float(x), 9.0 if x == 4321 else math.sin(x)) for x in range(10_000))
        svg = line_chart("loss", series)
        assert len(svg) < 6_000
        assert "highest 9" in svg

    @pytest.mark.parametrize(
        "series",
        [(), ((0.0, 1.0),), ((0.0, math.nan), (1.0, math.inf)), ((0.0, math.nan), (1.0, 1.0))],
    )
    def test_fewer_than_two_points_are_no_course(self, series: Any) -> None:
        assert line_chart("loss", series) == ""

    @settings(max_examples=80, deadline=None)
    @given(st.lists(st.tuples(st.floats(), st.floats()), max_size=400))
    def test_any_numbers_give_a_drawing_within_its_frame(
        self, series: list[tuple[float, float]]
    ) -> None:
        svg = line_chart("m", tuple(series))
        if svg:
            points = svg.split('polyline class="line" points="')[1].split('"')[0].split()
            for point in points:
                x, y = map(float, point.split(","))
                assert 0 <= x <= 300
                assert 0 <= y <= 108


SAID = st.one_of(st.text(max_size=60), st.just(HOSTILE), st.just('" onload="x'))


@settings(max_examples=80, deadline=None)
@given(
    texts=st.lists(SAID, min_size=12, max_size=12),
    pairs=st.lists(st.tuples(SAID, SAID), max_size=6),
    values=st.dictionaries(SAID, st.floats(), max_size=5),
)
def test_hostile_words_stay_words(
    texts: list[str], pairs: list[tuple[str, str]], values: dict[str, float]
) -> None:
    a, b, c, d, e, f, g, h, i, j, k, m = texts
    said = Diagnosis("user", a, b, retryable=False, evidence=c, user_traceback=d)
    read = JobFacts(
        job_name=e,
        title=f,
        state="failed",
        status=g,
        secondary_status=h,
        message=i,
        region=j,
        arn=k,
        role=m,
        image=a,
        hosts=((b, 1),),
        stages=(Stage(c, at(0), at(9), d),),
        metrics=values,
        series={name: ((0.0, 1.0), (1.0, value)) for name, value in values.items()},
        hyperparameters=dict(pairs),
        inputs=tuple(pairs),
        outputs=tuple(pairs),
        links=tuple(pairs),
        diagnosis=said,
        log_tail=tuple(texts),
    )
    page = assert_harmless(job_deck(read))
    assert "\x1b" not in page.text
    assert "\u202e" not in page.text


def test_a_huge_job_is_cut_to_size() -> None:
    long = '&"<' * 400
    read = dataclasses.replace(
        facts(),
        hyperparameters={f"{number}{long}": long for number in range(2_000)},
        inputs=tuple((long, long) for _ in range(2_000)),
        outputs=tuple((long, long) for _ in range(2_000)),
        metrics={f"{number}{long}": 1.0 for number in range(2_000)},
        series={f"{n}{long}": tuple((float(x), x % 7) for x in range(900)) for n in range(200)},
        stages=tuple(Stage(long, at(n), at(n + 1), long) for n in range(2_000)),
        links=tuple((long, f"https://x/{long}") for _ in range(50)),
        log_tail=(long,) * 5_000,
        diagnosis=Diagnosis("user", long, long, retryable=True, evidence=long, user_traceback=long),
    )
    assert_harmless(job_deck(read))
