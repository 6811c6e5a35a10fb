"""The embedded SageMaker as a server of this process."""

from __future__ import annotations

import atexit
import logging
import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from cdao_sdk.local.admin import Admin
from cdao_sdk.local.application import DEFAULT_REGION, Application
from cdao_sdk.local.cloudwatch import CloudWatchLogs
from cdao_sdk.local.cloudwatch_metrics import JobMetrics
from cdao_sdk.local.executor import Executor
from cdao_sdk.local.faults import FaultPlan, FaultsRefused, parse_plan, plan_text
from cdao_sdk.local.http_server import HttpServer, loopback_address
from cdao_sdk.local.injection import Injector
from cdao_sdk.local.lifecycle import Lifecycle
from cdao_sdk.local.models import Models
from cdao_sdk.local.objects import ObjectStore
from cdao_sdk.local.ownership import Ownership
from cdao_sdk.local.processes import Processes
from cdao_sdk.local.records import Records
from cdao_sdk.local.s3.application import S3Application
from cdao_sdk.local.sagemaker import SageMaker
from cdao_sdk.local.tags import TagStore

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

_logger = logging.getLogger(__name__)
# What a job gets to end by itself when the server closes.
_CLOSING_SECONDS = 5.0
_LAST_PORT = 65_535
FAULTS_FILE = "faults.json"


def client_environment(url: str) -> dict[str, str]:
    """What a process exports so that boto3, s3fs and the AWS CLI talk to the server at a URL."""
    return {
        "AWS_ENDPOINT_URL": url,
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",  # not a secret: nothing checks it
        "AWS_DEFAULT_REGION": DEFAULT_REGION,
        "AWS_REGION": DEFAULT_REGION,
        "AWS_EC2_METADATA_DISABLED": "true",
    }


class LocalSageMaker:
    """SageMaker, S3 and what else of AWS a job needs, on this machine and nowhere else.

    Several servers, of one process or of many, may share a state directory: they see the same
    objects and jobs. Jobs, logs and objects stay there when the server is gone.

        with LocalSageMaker(Path("state")) as aws:
            boto3.client("sagemaker", endpoint_url=aws.url, …)

    Args:
        state_dir: Where all state is kept; made when it is missing.
        host: A loopback address: there is no authentication.
        port: 0 takes a free one.
        concurrency: Jobs that run at once; the further ones wait. Default: the CPUs, at least 2.
        faults: Faults that its clients meet (`docs/local.md`): a JSON document, or the path of a
            file with it. Default (also for an empty text): what `faults.json` in the state
            directory holds at the start.
        stop_grace_seconds: Between SIGTERM and SIGKILL of a job that is stopped or interrupted.

    Raises:
        ValueError: `host` is not a loopback address, `port` is none, `concurrency` is below 1,
            `stop_grace_seconds` is negative, or `faults` is not valid.
    """

    def __init__(
        self,
        state_dir: Path | str,
        host: str = "127.0.0.1",
        port: int = 0,
        concurrency: int | None = None,
        faults: str | None = None,
        *,
        stop_grace_seconds: float = 120.0,
    ) -> None:
        self.state_dir = Path(state_dir).absolute()
        self.concurrency = max(os.cpu_count() or 2, 2) if concurrency is None else concurrency
        if self.concurrency < 1:
            msg = f"concurrency must be at least 1, not {concurrency!r}"
            raise ValueError(msg)
        self.stop_grace_seconds = stop_grace_seconds
        if not stop_grace_seconds >= 0:  # nor not a number
            msg = f"stop_grace_seconds must not be negative, not {stop_grace_seconds!r}"
            raise ValueError(msg)
        if not 0 <= port <= _LAST_PORT:
            msg = f"port must be from 0 (a free one) to {_LAST_PORT}, not {port!r}"
            raise ValueError(msg)
        self.address = loopback_address(host), port
        self.faults = parse_plan(plan_text(faults)) if faults else None
        self.objects = ObjectStore(self.state_dir / "s3")
        self._running: _Running | None = None

    @property
    def url(self) -> str:
        """The endpoint's URL.

        Raises:
            RuntimeError: the server has not been started.
        """
        if self._running is None:
            msg = "the embedded SageMaker is not running: start() it first"
            raise RuntimeError(msg)
        return self._running.url

    def start(self) -> Self:
        """Bind the port and answer; returns at once, the server lives in threads of this process.

        Raises:
            OSError: the port is taken.
            ValueError: the state directory's faults are not valid.
        """
        if self._running is None:
            self._running = _Running(self)
            atexit.register(self.close)
        return self

    def environment(self) -> dict[str, str]:
        """``client_environment`` of this server."""
        return client_environment(self.url)

    def close(self) -> None:
        """Stop the server and its jobs (their status: Stopped); a second close does nothing."""
        running, self._running = self._running, None
        if running:
            atexit.unregister(self.close)
            running.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self.close()


class _Running:
    """What there is of a server between start and close."""

    def __init__(self, settings: LocalSageMaker) -> None:
        root = settings.state_dir / "sagemaker"
        objects = settings.objects
        plan = settings.faults or _kept_faults(settings.state_dir)
        # First, for it fails where the state directory cannot be written, and leaves nothing open.
        self._ownership = Ownership(root / "servers")
        try:
            self._http = HttpServer(*settings.address)
        except OSError:
            self._ownership.close()
            raise
        self.url = self._http.url
        self._processes = Processes(grace_seconds=settings.stop_grace_seconds)
        records = Records(root, self._ownership)
        self._executor = Executor(objects, self._processes)
        self._lifecycle = Lifecycle(
            records,
            self._executor,
            concurrency=settings.concurrency,
            endpoint_url=self.url,
        )
        injector = Injector(plan)
        sagemaker = SageMaker(
            records=records,
            models=Models(root / "models"),
            tags=TagStore(root / "tags"),
            objects=objects,
            lifecycle=self._lifecycle,
            injector=injector,
        )
        application = Application(
            s3=S3Application(objects),
            targets={"SageMaker": sagemaker, "Logs_20140328": CloudWatchLogs(root)},
            injector=injector,
            metrics=JobMetrics(root),
            own=Admin(injector, self._lifecycle),
        )
        self._http.serve(application)
        # Whoever asks first finds it read, or waits for what is left.
        self._closing = threading.Event()
        self._upkeep = threading.Thread(
            target=_keep_up,
            args=(sagemaker, objects, self._closing),
            name="cdao-local-upkeep",
            daemon=True,
        )
        self._upkeep.start()

    def close(self) -> None:
        self._lifecycle.close()
        self._lifecycle.wait(timeout_seconds=_CLOSING_SECONDS)
        self._processes.close()
        if not self._lifecycle.wait(timeout_seconds=_CLOSING_SECONDS):
            _logger.warning("jobs of the embedded SageMaker did not end with it")
        self._http.stop()
        self._closing.set()
        self._upkeep.join(timeout=_CLOSING_SECONDS)
        self._executor.close()
        self._ownership.close()


def _keep_up(sagemaker: SageMaker, objects: ObjectStore, closing: threading.Event) -> None:
    try:
        objects.remove_leftovers()
    except OSError:
        _logger.warning("leftovers of an earlier server could not be removed", exc_info=True)
    sagemaker.keep_indexes(closing)


def _kept_faults(state_dir: Path) -> FaultPlan:
    path = state_dir / FAULTS_FILE
    try:
        return parse_plan(path.read_bytes())
    except FileNotFoundError:
        return FaultPlan()
    except FaultsRefused as error:
        raise FaultsRefused([f"{path}: {problem}" for problem in error.problems]) from error
