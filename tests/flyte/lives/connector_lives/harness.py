"""Runs lives: SageMaker and the replicas as processes, Propeller here."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.request import Request, urlopen

import boto3
from flyteidl.admin.agent_pb2 import CreateTaskRequest

from connector_lives.evidence import gather_evidence, judge
from connector_lives.propeller import Calls, Player
from connector_lives.replicas import running_replicas
from connector_lives.script import write_life

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine, Iterator, Mapping

    from connector_lives.evidence import Evidence
    from connector_lives.propeller import Course
    from connector_lives.script import Life

__all__ = ["Report", "run_lives"]

BUCKET = "lives"
_PREFIX = "metadata/propeller"
_PROJECT, _DOMAIN = "lives", "development"
_ROLE = "arn:aws:iam::123456789012:role/lives"
_REPLICAS = 2
_AT_ONCE = 24
_SETTLE_SECONDS = 20.0
_READY_SECONDS = 30.0


def faults(seed: int) -> dict[str, object]:
    """What goes wrong in AWS, each now and then."""
    rules: list[dict[str, object]] = []
    for operations in ("*", "s3:*"):
        rules += [
            {"fault": "throttling", "operations": operations, "probability": 0.01},
            {"fault": "latency", "operations": operations, "probability": 0.01, "seconds": 0.3},
        ]
        for when in ("before", "after"):
            common = {"operations": operations, "when": when, "probability": 0.005}
            rules += [
                {"fault": "server_error", **common},
                {"fault": "dropped_connection", **common},
            ]
    jobs = "Create*Job"
    rules += [
        {"fault": "capacity", "operations": jobs, "names": "*-walk-*", "probability": 0.4},
        {"fault": "capacity", "operations": jobs, "probability": 0.02},
    ]
    return {"seed": seed, "rules": rules}


@dataclass
class Report:
    """What came out.

    Attributes:
        seed: What the lives were written from.
        courses: How each of them went.
        evidence: What SageMaker and S3 have.
        violations: What should not be.
        figures: Numbers to be printed.
    """

    seed: int
    courses: list[Course]
    evidence: Evidence
    violations: list[str]
    figures: dict[str, object] = field(default_factory=dict)

    def __str__(self) -> str:
        figures = [f"  {name}: {value}" for name, value in self.figures.items()]
        told = [f"  {it}" for it in self.violations[:40]]
        head = f"{len(self.courses)} lives of seed {self.seed}"
        return "\n".join([head, *figures, f"violations: {len(self.violations)}", *told])


def run_lives(
    count: int, seed: int, folder: Path | None = None, *, log_level: str = "warning"
) -> Report:
    """Run so many lives.

    Args:
        count: How many.
        seed: What they, the kills and the faults are drawn from.
        folder: Where state and logs go; None: into one that is removed.
        log_level: Of the replicas' logs.
    """
    with contextlib.ExitStack() as stack:
        if folder is None:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        (folder / "over").mkdir(parents=True)
        began = time.monotonic()
        with _sagemaker(folder) as url:
            stage = _Stage(count, seed, folder, url, log_level)
            stage.prepare()
            ready = time.monotonic()
            courses = asyncio.run(stage.play())
            others = _cpu(resource.RUSAGE_CHILDREN)
        stage.cpu["SageMaker and jobs"] = _cpu(resource.RUSAGE_CHILDREN) - others
        report = stage.report(courses)
        report.figures["seconds to begin"] = round(ready - began, 1)
        return report


@contextlib.contextmanager
def _sagemaker(folder: Path) -> Iterator[str]:
    """The URL of an embedded SageMaker of its own process."""
    ready = folder / "sagemaker.json"
    command = [sys.executable, "-m", "cdao_sdk.local", "--state-dir", str(folder / "state")]
    command += ["--concurrency", "40", "--ready-file", str(ready)]
    with (folder / "sagemaker.log").open("wb") as log:
        process = subprocess.Popen(command, env=_clean(), stdout=log, stderr=log)
        try:
            until = time.monotonic() + _READY_SECONDS
            while not ready.exists():
                assert process.poll() is None, "the embedded SageMaker has ended"
                assert time.monotonic() < until, "the embedded SageMaker does not answer"
                time.sleep(0.02)
            yield str(json.loads(ready.read_text())["url"])
        finally:
            process.terminate()
            process.wait(30)


def _clean() -> dict[str, str]:
    """This process's environment without anyone's settings; modules are found as here."""
    foreign = ("AWS_", "CDAO_", "FLYTE")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    return {**kept, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}


@dataclass
class _Stage:
    count: int
    seed: int
    folder: Path
    url: str
    log_level: str
    seconds: float = 0.0
    kills: int = 0
    deaths: list[str] = field(default_factory=list)
    struck: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    cpu: dict[str, float] = field(default_factory=dict)
    requests: dict[str, CreateTaskRequest] = field(default_factory=dict)
    task_types: dict[str, str] = field(default_factory=dict)

    def prepare(self) -> None:
        """What a registration leaves: code in S3, and the templates."""
        import life_jobs

        from cdao_sdk.aws.bridge import bridge
        from cdao_sdk.aws.session import AwsClients, embedded_target
        from cdao_sdk.flyte.create_request import task_template
        from cdao_sdk.flyte.local_run import LocalRun
        from cdao_sdk.flyte.services import Services

        s3 = self.boto("s3")
        s3.create_bucket(Bucket=BUCKET)
        s3.put_object(Bucket=BUCKET, Key="rows.csv", Body=b"1,2\n")
        clients = AwsClients(embedded_target(self.url))
        run = LocalRun("registration", Services(clients, _ROLE, BUCKET))
        for task in (life_jobs.work, life_jobs.walk, life_jobs.predict):
            template = task_template(task, run.code_uri(task)).to_flyte_idl()
            name = task.name.rpartition(".")[2]
            self.requests[name] = CreateTaskRequest(template=template)
            self.task_types[name] = template.type
        bridge.run(clients.close())

    def boto(self, service: str) -> Any:
        """A boto3 client of the embedded SageMaker."""
        session = boto3.Session("local", "local", region_name="us-east-1")
        return session.client(service, endpoint_url=self.url)

    def execution(self, life: Life) -> str:
        """The name of a life's execution."""
        return f"f{self.seed:x}x{life.number}"

    def request(self, life: Life, attempt: int) -> CreateTaskRequest:
        """A life's CreateTask request, as Propeller makes it."""
        request = CreateTaskRequest()
        request.CopyFrom(self.requests[life.task])
        execution = self.execution(life)
        request.output_prefix = f"s3://{BUCKET}/{self.prefix(execution)}/{attempt}"
        inputs = {"word": life.word, "acts": life.acts}
        if life.task == "predict":
            inputs = {"model_path": f"s3://{BUCKET}/none.tar.gz"}
            blob = request.inputs.literals["data"].scalar.blob
            blob.uri = f"s3://{BUCKET}/rows.csv"
            blob.metadata.type.SetInParent()
        for name, value in inputs.items():
            request.inputs.literals[name].scalar.primitive.string_value = value
        metadata = request.task_execution_metadata
        metadata.namespace = f"{_PROJECT}-{_DOMAIN}"
        metadata.max_attempts = life.attempts
        identifier = metadata.task_execution_id
        identifier.task_id.CopyFrom(request.template.id)
        identifier.retry_attempt = attempt
        identifier.node_execution_id.node_id = "n0"
        where = identifier.node_execution_id.execution_id
        where.project, where.domain, where.name = _PROJECT, _DOMAIN, execution
        return request

    def prefix(self, execution: str) -> str:
        """Where Propeller has a node's outputs, without the attempt."""
        return f"{_PREFIX}/{_PROJECT}-{_DOMAIN}-{execution}/n0/data"

    def environment(self) -> Mapping[str, str]:
        """Of a replica: settings as an operator gives them, and no waiting for request rates."""
        from cdao_sdk.catalog.api_rates import RATES

        return {
            **_clean(),
            "CDAO_ENDPOINT_URL": self.url,
            "CDAO_DEFAULT_BUCKET": BUCKET,
            "CDAO_SAGEMAKER_ROLE": _ROLE,
            "CDAO_API_RATES": json.dumps(dict.fromkeys(RATES, 0)),
            "GRPC_VERBOSITY": "NONE",
        }

    async def play(self) -> list[Course]:
        """All lives, under replicas that are killed all the time."""
        own, others = _cpu(resource.RUSAGE_SELF), _cpu(resource.RUSAGE_CHILDREN)
        async with running_replicas(
            _REPLICAS, self.seed, self.folder, self.environment(), log_level=self.log_level
        ) as replicas:
            calls = Calls(replicas.ports)
            self.counts = calls.counts
            player = Player(calls, self.request, self.task_types, self.folder / "over")
            self._faults("PUT", faults(self.seed))
            began = time.monotonic()
            async with _haunted(replicas.kill_for_ever(calls.answers)):
                places = asyncio.Semaphore(_AT_ONCE)

                async def live(number: int) -> Course:
                    async with places:
                        life = write_life(self.seed, number)
                        return await player.play(life, self.execution(life))

                courses = await asyncio.gather(*map(live, range(self.count)))
            await calls.close()
            self.seconds = time.monotonic() - began
            self.struck = sum(self._faults("GET")["struck"])
            self._faults("DELETE")
            self.evidence = await asyncio.to_thread(
                gather_evidence, self.boto, BUCKET, _PREFIX, settle_seconds=_SETTLE_SECONDS
            )
            self.settled = time.monotonic() - began - self.seconds
            self.kills, self.deaths = replicas.kills, replicas.deaths
        self.cpu["Propeller"] = _cpu(resource.RUSAGE_SELF) - own
        self.cpu["replicas"] = _cpu(resource.RUSAGE_CHILDREN) - others
        return courses

    def _faults(self, method: str, plan: object = None) -> Any:
        data = None if plan is None else json.dumps(plan).encode()
        request = Request(f"{self.url}/_cdao/faults", data, method=method)  # noqa: S310 # our own
        with urlopen(request, timeout=10) as answer:  # noqa: S310
            return json.loads(answer.read())

    def report(self, courses: list[Course]) -> Report:
        """What came out."""
        prefixes = {course.execution: self.prefix(course.execution) for course in courses}
        violations = judge(courses, self.evidence, prefixes)
        violations += [f"a replica ended by itself: {event}" for event in self.deaths]
        lost = sum(count for name, count in self.counts.items() if not name.endswith("sent"))
        jobs = self.evidence.jobs.values()
        figures: dict[str, object] = {
            "ends": dict(Counter(course.end for course in courses)),
            "seconds": round(self.seconds, 1),
            "lives a second": round(len(courses) / self.seconds, 1),
            "seconds to settle": round(self.settled, 1),
            "replicas killed": self.kills,
            "answers lost": lost,
            "duplicates sent": self.counts["duplicates sent"],
            "calls": sum(n for name, n in self.counts.items() if name.endswith("Task sent")),
            "faults of AWS": self.struck,
            "seconds of CPU": {who: round(seconds, 1) for who, seconds in self.cpu.items()},
            "jobs made": len(jobs),
            "their ends": dict(Counter(job.status for job in jobs)),
            "lost by cause": {
                name: n for name, n in sorted(self.counts.items()) if not name.endswith("sent")
            },
        }
        return Report(self.seed, courses, self.evidence, violations, figures)


def _cpu(who: int) -> float:
    """Seconds of CPU."""
    usage = resource.getrusage(who)
    return usage.ru_utime + usage.ru_stime


@contextlib.asynccontextmanager
async def _haunted(haunt: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Have something go on while this is entered; it must not end before."""
    task = asyncio.ensure_future(haunt)
    try:
        yield
        assert not task.done(), "nobody kills the replicas any more"
    finally:
        task.cancel()
        await asyncio.wait({task})
