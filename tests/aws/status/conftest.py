"""An account with as many jobs as a test wants, under a clock that the test turns."""

from __future__ import annotations

import email.utils
import itertools
import json
import threading
from collections import Counter
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest

from cdao_sdk.aws.bridge import bridge
from cdao_sdk.aws.session import AwsClients, embedded_target
from cdao_sdk.aws.status import StatusOptions, StatusWatcher
from cdao_sdk.kinds.registry import KINDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

START = 1_800_000_000.0
ARN = "arn:aws:sagemaker:us-east-1:123456789012:job/"


@dataclass
class Row:
    created: float
    modified: float
    status: str = "InProgress"
    secondary: str = "Starting"
    started: float | None = None
    is_listed: bool = True


@dataclass
class Account:
    """Speaks SageMaker's List… and Describe… of jobs, over HTTP.

    `calls`: how often each operation came; `refusals`: operation → error code that it gets;
    `filters`: the List… requests; `goes_on`: answers wait for it.
    """

    now: float = START
    url: str = ""
    jobs: dict[str, dict[str, Row]] = field(default_factory=dict[str, dict[str, Row]])
    calls: Counter[str] = field(default_factory=Counter[str])
    refusals: dict[str, str] = field(default_factory=dict[str, str])
    filters: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    goes_on: threading.Event = field(default_factory=threading.Event)

    def add(self, name: str, kind: str = "training", **members: Any) -> str:
        row = Row(created=self.now, modified=self.now, **members)
        self.jobs.setdefault(kind, {})[name] = row
        return name

    def change(self, name: str, status: str = "InProgress", secondary: str = "Training") -> None:
        for rows in self.jobs.values():
            if name in rows:
                rows[name].status, rows[name].modified = status, self.now
                rows[name].secondary = secondary if status == "InProgress" else status

    def answer(self, operation: str, request: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        self.calls[operation] += 1
        if code := self.refusals.get(operation):
            return 400, {"__type": code, "message": "the test refuses"}
        kind = next(k for k in KINDS.values() if operation in (k.api.list, k.api.describe))
        rows = self.jobs.get(kind.name, {})
        if operation == kind.api.describe:
            name = request[kind.api.name_field]
            if name not in rows:
                message = "Requested resource not found."
                return 400, {"__type": "ValidationException", "message": message}
            return 200, self._told(kind, name, rows[name], is_whole=True)
        self.filters.append(request)
        # Newest first, as asked for; a dict keeps the order of creation. As SageMaker does it:
        # pages first, and then what else is filtered.
        since = request.get("CreationTimeAfter", 0)
        newest = itertools.takewhile(lambda item: item[1].created > since, reversed(rows.items()))
        begin, size = int(request.get("NextToken", 0)), request["MaxResults"]
        found = list(itertools.islice(newest, begin + size + 1))
        shown = [
            self._told(kind, name, row)
            for name, row in found[begin : begin + size]
            if row.is_listed
            and request.get("StatusEquals") in (None, row.status)
            and row.modified > request.get("LastModifiedTimeAfter", 0)
            and request.get("NameContains", "") in name
        ]
        more = {"NextToken": str(begin + size)} if len(found) > begin + size else {}
        return 200, {kind.api.summaries_field: shown, **more}

    def _told(self, kind: Any, name: str, row: Row, *, is_whole: bool = False) -> dict[str, Any]:
        api = kind.api
        told: dict[str, Any] = {
            api.name_field: name,
            api.arn_field: ARN + name,
            api.status_field: row.status,
            "CreationTime": row.created,
            "LastModifiedTime": row.modified,
        }
        if kind.name == "training":
            told["SecondaryStatus"] = row.secondary
        elif is_whole and row.started:
            told[api.name_field.replace("JobName", "StartTime")] = row.started
        return told


@pytest.fixture
def account() -> Iterator[Account]:
    """The account, at its URL."""
    account = Account()
    account.goes_on.set()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            operation = self.headers["X-Amz-Target"].rpartition(".")[2]
            account.goes_on.wait(30)
            status, answer = account.answer(operation, json.loads(body))
            content = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("x-amzn-RequestId", "1")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def date_time_string(self, *_: object) -> str:
            return email.utils.formatdate(account.now, usegmt=True)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        account.url = f"http://127.0.0.1:{server.server_port}"
        yield account
        server.shutdown()


@pytest.fixture
def watch(account: Account) -> Iterator[Callable[..., StatusWatcher]]:
    """Makes a watcher of the account, that goes by its clock."""
    made: list[tuple[StatusWatcher, AwsClients]] = []

    def make(**options: Any) -> StatusWatcher:
        clients = AwsClients(embedded_target(account.url))

        async def new() -> StatusWatcher:
            watcher = StatusWatcher(
                clients,
                StatusOptions(**options),
                patience_seconds=30,
                clock=lambda: account.now,
            )
            made.append((watcher, clients))
            return watcher

        return bridge.run(new())

    yield make
    for watcher, clients in made:
        bridge.run(watcher.close())
        bridge.run(clients.close())


@pytest.fixture
def ask() -> Callable[..., Any]:
    """Asks a watcher for jobs, all at once; returns one status, or a list of them."""

    def ask(watcher: StatusWatcher, *names: str, kind: str = "training") -> Any:
        async def all_of_them() -> list[Any]:
            import asyncio

            return list(await asyncio.gather(*(watcher.status(kind, name) for name in names)))

        found = bridge.run(all_of_them(), timeout=100)
        return found[0] if len(names) == 1 else found

    return ask
