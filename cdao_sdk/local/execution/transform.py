"""Batch transform jobs: one model server, asked about every object of the input."""

from __future__ import annotations

import concurrent.futures
import contextlib
import gzip
import itertools
import json
import socket
import sys
import threading
import zlib
from collections import deque
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

from cdao_sdk.local.errors import AwsError
from cdao_sdk.local.execution import artifacts
from cdao_sdk.local.execution.channels import DataSource, select
from cdao_sdk.local.execution.context import JobFailed
from cdao_sdk.local.execution.environment import job_environment
from cdao_sdk.local.execution.hosts import hosts_of, reason_of, run_hosts
from cdao_sdk.local.execution.model import prepare_model
from cdao_sdk.local.execution.model_server import ModelServer, ModelSilent
from cdao_sdk.local.execution.records import batching
from cdao_sdk.local.execution.request import mapping, section, text, whole
from cdao_sdk.local.jobs import Outcome

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cdao_sdk.local.execution.channels import Item
    from cdao_sdk.local.execution.context import Context
    from cdao_sdk.local.execution.hosts import Host
    from cdao_sdk.local.execution.model import Model
    from cdao_sdk.local.execution.records import Batching
    from cdao_sdk.local.jobs import LogWriter
    from cdao_sdk.local.processes import GroupExit

_SERVING = Path(__file__).parent.parent / "serving.py"
_HOST = "algo-1"
_MESSAGE_BYTES = 600  # of an answer that is an error
_FAREWELL_SECONDS = 2.0
# Of ModelClientConfig. Source: API reference of CreateTransformJob, November 2026.
_TIMEOUT_SECONDS = 600
_RETRIES = 3


class _Ending:
    """Ends the model server with its job, or when there is nothing left to ask it."""

    def __init__(self, job: threading.Event) -> None:
        self._job = job
        self.overdue = threading.Event()

    def is_set(self) -> bool:
        return self._job.is_set() or self.overdue.is_set()


def run_transform(context: Context) -> Outcome:
    """Run a transform job from its start to its end.

    Raises:
        JobFailed: there is no input, no way to serve the model, or a record failed.
        JobStopped: it was stopped.
    """
    request = context.job.request
    context.report("Starting", "Launching requested ML instances")
    plan = batching(request)
    source = section(section(section(request, "TransformInput"), "DataSource"), "S3DataSource")
    items = select(
        context.objects, DataSource(text(source, "S3DataType", "S3Prefix"), text(source, "S3Uri"))
    )
    with hosts_of(context, [_HOST]) as hosts:
        context.report("Downloading", "Downloading the model")
        hosts[0].opt_ml.make("model")
        model = prepare_model(context, hosts[0].opt_ml)
        context.check_stop()
        context.report("Training", "Transform job is in progress")
        with contextlib.closing(context.log.open("data-log")) as log:
            _serve_and_ask(context, hosts[0], model, _Questions(context, plan, model, log), items)
    return Outcome(status="Completed")


def _serve_and_ask(
    context: Context, host: Host, model: Model, questions: _Questions, items: Sequence[Item]
) -> None:
    """Start the model server, transform every object, and end it again."""
    ending = _Ending(context.stop)
    count = max(1, whole(context.job.request, "MaxConcurrentTransforms", 1))
    with contextlib.ExitStack() as stack:
        pairs = [socket.socketpair() for _ in range(2 * count)]
        ours = [stack.enter_context(pair[0]) for pair in pairs]
        pool = stack.enter_context(concurrent.futures.ThreadPoolExecutor(1 + 2 * count))
        running = pool.submit(
            _run_server, context, host, model, [pair[1] for pair in pairs], ending
        )
        server = ModelServer(
            ours, timeout_seconds=questions.timeout_seconds, retries=questions.retries
        )
        lost: ConnectionError | None = None
        try:
            server.wait_until_ready()
            questions.ask_all(server, pool, items, at_once=count)
        except ConnectionError as error:
            lost = error
        finally:
            server.close()
            # A model may have threads of its own that do not end with its connections.
            concurrent.futures.wait([running], timeout=_FAREWELL_SECONDS)
            ending.overdue.set()
        ended = running.result()
    context.check_stop()
    if questions.failure is not None:
        raise questions.failure
    if lost is not None:
        raise JobFailed(_why_lost(ended, host)) from lost


def _run_server(
    context: Context,
    host: Host,
    model: Model,
    connections: Sequence[socket.socket],
    ending: _Ending,
) -> GroupExit:
    request = context.job.request
    names = {
        "SAGEMAKER_BATCH": "true",
        "SAGEMAKER_BATCH_STRATEGY": text(request, "BatchStrategy", "MultiRecord"),
        "SAGEMAKER_MAX_PAYLOAD_IN_MB": str(whole(request, "MaxPayloadInMB", 6)),
        "SAGEMAKER_MAX_CONCURRENT_TRANSFORMS": str(len(connections) // 2),
        "SM_MODEL_DIR": host.opt_ml.seen("/opt/ml/model"),
    }
    own = {**model.environment, **mapping(request, "Environment")}
    settings = {
        "connections": len(connections),
        "model_dir": names["SM_MODEL_DIR"],
        "handlers": model.handlers,
        "built_in": model.by_algorithm,
    }
    with contextlib.ExitStack() as stack:
        for connection in connections:
            stack.enter_context(connection)
        return run_hosts(
            context,
            [host],
            [sys.executable, str(_SERVING), json.dumps(settings)],
            lambda host: names | job_environment(context, host.opt_ml, own),
            directory=model.directory,
            stop=ending,
            inherited=[connection.fileno() for connection in connections],
        )


class _Questions:
    """The job's records on their way to the model and back into S3."""

    def __init__(self, context: Context, plan: Batching, model: Model, log: LogWriter) -> None:
        request = context.job.request
        source = section(request, "TransformInput")
        target = section(request, "TransformOutput")
        client = section(request, "ModelClientConfig")
        self.timeout_seconds = whole(client, "InvocationsTimeoutInSeconds", _TIMEOUT_SECONDS)
        self.retries = whole(client, "InvocationsMaxRetries", _RETRIES)
        self.failure: JobFailed | None = None  # the first record's that went wrong
        self._context = context
        self._plan = plan
        self._log = log
        self._content_type = text(source, "ContentType")
        self._accept = text(target, "Accept") or ("text/csv" if model.by_algorithm else "")
        self._gunzip = text(source, "CompressionType") == "Gzip"
        self._output = f"{text(target, 'S3OutputPath').rstrip('/')}/"

    def ask_all(
        self,
        server: ModelServer,
        pool: concurrent.futures.Executor,
        items: Sequence[Item],
        *,
        at_once: int,
    ) -> None:
        """Transform every object: `at_once` objects and payloads at the same time.

        Args:
            server: whom to ask.
            pool: has at least twice `at_once` threads, half of them for objects.
            items: the objects.
            at_once: MaxConcurrentTransforms.
        """
        waiting = iter(items)
        objects: set[concurrent.futures.Future[None]] = set()
        while True:
            for item in itertools.islice(waiting, at_once - len(objects)):
                self._context.check_stop()
                objects.add(pool.submit(self._transform, server, pool, item, 2 * at_once))
            if not objects:
                return
            done, objects = concurrent.futures.wait(
                objects, return_when=concurrent.futures.FIRST_COMPLETED
            )
            for ended in done:
                ended.result()

    def _transform(
        self, server: ModelServer, pool: concurrent.futures.Executor, item: Item, window: int
    ) -> None:
        """One object; at most `window` of its payloads are in memory."""
        pending: deque[concurrent.futures.Future[bytes]] = deque()
        with artifacts.upload(self._context.objects, f"{self._output}{item.path}.out") as out:
            for records in self._payloads(item):
                pending.append(pool.submit(self._ask, server, item, records))
                if len(pending) >= window:
                    out.write(pending.popleft().result())
            while pending:
                out.write(pending.popleft().result())

    def _payloads(self, item: Item) -> Iterator[list[bytes]]:
        uri = f"s3://{item.bucket}/{item.key}"
        try:
            _, file = self._context.objects.get(item.bucket, item.key)
            with file:
                plain = gzip.GzipFile(fileobj=file) if self._gunzip else file
                yield from self._plan.payloads(cast("BinaryIO", plain))
        except (AwsError, gzip.BadGzipFile, zlib.error, EOFError) as error:
            msg = f"ClientError: Data download failed: {uri}: {error}"
            raise JobFailed(msg) from error

    def _ask(self, server: ModelServer, item: Item, records: list[bytes]) -> bytes:
        try:
            return self._answer(server, item, records)
        except JobFailed as error:
            self.failure = self.failure or error
            server.hang_up()  # the other records' answers are not waited for
            raise

    def _answer(self, server: ModelServer, item: Item, records: list[bytes]) -> bytes:
        body = self._plan.body(records)
        name = f"{item.bucket}/{item.key}"
        try:
            status, answer = server.ask(body, self._content_type, self._accept)
        except ModelSilent as error:
            told = (
                f"Model server did not respond to /invocations request within "
                f"{self.timeout_seconds} seconds"
            )
            self._log.write(f"{name}: {told}\n".encode())
            msg = (
                f"ClientError: {told} for {name} (tries: {1 + self.retries}). "
                "See job logs for more information"
            )
            raise JobFailed(msg) from error
        if status == HTTPStatus.OK:
            return self._plan.result(records, answer)
        message = answer[:_MESSAGE_BYTES].decode(errors="replace")
        self._log.write(
            f"{name}: Bad HTTP status received from algorithm: {status}\n"
            f"{name}: Message:\n{name}: {message}\n".encode()
        )
        kind = "ClientError" if status < HTTPStatus.INTERNAL_SERVER_ERROR else "AlgorithmError"
        msg = (
            f"{kind}: Bad HTTP status received from algorithm: {status} for {name}: {message}. "
            "See job logs for more information"
        )
        raise JobFailed(msg)


def _why_lost(ended: GroupExit, host: Host) -> str:
    status = ended.statuses[0]
    return reason_of(status) or (
        f"AlgorithmError: The model server ended with exit code {status.code}: "
        f"{host.console.last_line}. See job logs for more information"
    )
