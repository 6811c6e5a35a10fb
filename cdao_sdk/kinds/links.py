"""Where AWS's console shows a job and its log. Pure: no link is looked up."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote

from cdao_sdk.kinds.registry import kind as kind_named

if TYPE_CHECKING:
    from collections.abc import Mapping

# The console's host by partition. Isolated and sovereign partitions publish none: no link then.
# Source: AWS General Reference, and console links in public code for China and GovCloud, 2026-11.
_HOSTS: Mapping[str, str] = {
    "aws": "console.aws.amazon.com",
    "aws-cn": "console.amazonaws.cn",
    "aws-us-gov": "console.amazonaws-us-gov.com",
}

# Region names by partition, as in botocore's partitions.json; the first that fits.
_PARTITIONS: Mapping[str, str] = {
    "aws-cn": r"cn-\w+-\d+",
    "aws-us-gov": r"us-gov-\w+-\d+",
    "aws-iso": r"us-iso-\w+-\d+",
    "aws-iso-b": r"us-isob-\w+-\d+",
    "aws-iso-e": r"eu-isoe-\w+-\d+",
    "aws-iso-f": r"us-isof-\w+-\d+",
    "aws-eusc": r"eusc-\w+-\w+-\d+",
    "aws": r"\w+-\w+-\d+",
}


@dataclass(frozen=True)
class ConsoleLinks:
    """Pages of AWS's console for one job; empty where the partition has no known console.

    Attributes:
        logs: Its log in CloudWatch.
        job: The job in SageMaker's console.
    """

    logs: str = ""
    job: str = ""

    @property
    def titled(self) -> tuple[tuple[str, str], ...]:
        """(title, URL) of each link that there is."""
        pairs = (("CloudWatch Logs", self.logs), ("SageMaker console", self.job))
        return tuple((title, url) for title, url in pairs if url)


def partition_of(region: str) -> str:
    """The partition of a region; empty if the name is none.

    Example:
        >>> partition_of("cn-north-1"), partition_of("eu-central-1"), partition_of("local")
        ('aws-cn', 'aws', '')
    """
    fits = (name for name, regex in _PARTITIONS.items() if re.fullmatch(regex, region, re.ASCII))
    return next(fits, "")


def console_links(
    kind: str, job_name: str, region: str, partition: str = "", log_stream: str | None = None
) -> ConsoleLinks:
    """Where AWS's console shows a job and its log.

    Args:
        kind: ``"training"``, ``"processing"`` or ``"transform"``.
        job_name: The job's name.
        region: AWS region.
        partition: ``"aws"``, ``"aws-cn"``, …; empty takes the region's.
        log_stream: The log stream, where it is known; ``None`` lists those of the job.

    Raises:
        SpecError: There is no such kind.

    Example:
        >>> links = console_links("training", "fit-1", "eu-central-1")
        >>> links.job
        'https://eu-central-1.console.aws.amazon.com/sagemaker/home?region=eu-central-1#/jobs/fit-1'
        >>> links.logs.partition("#")[2]
        'logsV2:log-groups/log-group/$252Faws$252Fsagemaker$252FTrainingJobs$3FlogStreamNameFilter$3Dfit-1$252F'
    """
    api = kind_named(kind).api
    host = _HOSTS.get(partition or partition_of(region))
    if host is None or not partition_of(region):
        return ConsoleLinks()
    console = f"https://{region}.{host}"
    group = f"#logsV2:log-groups/log-group/{_twice(api.log_group)}"
    # The filter takes a prefix: with the slash it is this job's, and not those of fit-10, too.
    streams = (
        f"/log-events/{_twice(log_stream)}"
        if log_stream
        else f"$3FlogStreamNameFilter$3D{_twice(f'{job_name}/')}"
    )
    page = f"#/{api.console_path}/{quote(job_name, safe='')}"
    return ConsoleLinks(
        logs=f"{console}/cloudwatch/home?region={region}{group}{streams}",
        job=f"{console}/sagemaker/home?region={region}{page}",
    )


def _twice(text: str) -> str:
    """Percent-encoded twice, with ``$`` for ``%``: how CloudWatch's console writes its fragment."""
    return quote(quote(text, safe=""), safe="").replace("%", "$")
