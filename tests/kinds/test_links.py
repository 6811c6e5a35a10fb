from __future__ import annotations

import re
from typing import Any
from urllib.parse import unquote, urlsplit

import botocore.session
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdao_sdk.errors import SpecError
from cdao_sdk.kinds.links import console_links, partition_of
from cdao_sdk.kinds.registry import KINDS


def decoded(fragment: str) -> str:
    """A fragment as CloudWatch's console reads it."""
    once = unquote(fragment.replace("$", "%"))
    return unquote(once)


class TestHosts:
    @pytest.mark.parametrize(
        ("region", "partition", "host"),
        [
            ("us-east-1", "aws", "us-east-1.console.aws.amazon.com"),
            ("us-east-1", "", "us-east-1.console.aws.amazon.com"),
            ("il-central-1", "", "il-central-1.console.aws.amazon.com"),
            ("cn-north-1", "aws-cn", "cn-north-1.console.amazonaws.cn"),
            ("cn-northwest-1", "", "cn-northwest-1.console.amazonaws.cn"),
            ("us-gov-west-1", "aws-us-gov", "us-gov-west-1.console.amazonaws-us-gov.com"),
            ("us-gov-east-1", "", "us-gov-east-1.console.amazonaws-us-gov.com"),
        ],
    )
    def test_each_partition_has_its_console(self, region: str, partition: str, host: str) -> None:
        links = console_links("training", "fit-1", region, partition)
        for url in (links.job, links.logs):
            parts = urlsplit(url)
            assert (parts.scheme, parts.netloc) == ("https", host)
            assert parts.query == f"region={region}"

    @pytest.mark.parametrize("region", ["us-iso-east-1", "us-isob-east-1", "eusc-de-east-1"])
    def test_a_partition_without_a_known_console_gets_no_link(self, region: str) -> None:
        links = console_links("training", "fit-1", region)
        assert (links.job, links.logs, links.titled) == ("", "", ())

    def test_a_region_that_is_none_gets_no_link(self) -> None:
        assert console_links("training", "fit-1", "evil.com/", "aws").titled == ()

    def test_partitions_agree_with_botocore(self) -> None:
        loader: Any = botocore.session.get_session().get_component("data_loader")
        for partition in loader.load_data("partitions")["partitions"]:
            for region in partition["regions"]:
                if "global" not in region:
                    assert partition_of(region) == partition["id"]


class TestPages:
    @pytest.mark.parametrize(
        ("kind", "page"),
        [("training", "jobs"), ("processing", "processing-jobs"), ("transform", "transform-jobs")],
    )
    def test_each_kind_has_its_page(self, kind: str, page: str) -> None:
        links = console_links(kind, "fit-1", "us-east-1")
        assert links.job.endswith(f"/sagemaker/home?region=us-east-1#/{page}/fit-1")

    @pytest.mark.parametrize("kind", KINDS)
    def test_the_log_streams_of_the_job_alone_are_listed(self, kind: str) -> None:
        fragment = urlsplit(console_links(kind, "fit-1", "us-east-1").logs).fragment
        group = KINDS[kind].api.log_group
        assert decoded(fragment) == (
            f"logsV2:log-groups/log-group/{group}?logStreamNameFilter=fit-1/"
        )
        assert "$252Faws$252Fsagemaker$252F" in fragment

    def test_a_known_stream_is_opened(self) -> None:
        links = console_links("training", "f", "us-east-1", log_stream="f/algo-1-17[$]")
        fragment = urlsplit(links.logs).fragment
        assert fragment.endswith("TrainingJobs/log-events/f$252Falgo-1-17$255B$2524$255D")

    def test_links_have_titles(self) -> None:
        titled = console_links("processing", "p", "us-east-1").titled
        assert [title for title, _ in titled] == ["CloudWatch Logs", "SageMaker console"]

    def test_a_kind_that_is_none_is_refused(self) -> None:
        with pytest.raises(SpecError, match="no kind of job"):
            console_links("tuning", "t", "us-east-1")


@given(st.text(), st.text())
def test_no_name_escapes_from_its_place(job_name: str, stream: str) -> None:
    links = console_links("training", job_name, "us-east-1", log_stream=stream)
    assert re.fullmatch(r"[\w:/.?=#$%~-]+", links.job + links.logs, re.ASCII)
    assert urlsplit(links.job).netloc == "us-east-1.console.aws.amazon.com"
