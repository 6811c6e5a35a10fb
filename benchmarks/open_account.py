"""An account full of running jobs: `python -m benchmarks.open_account JOBS READY_FILE [HOURS]`.

It pages as SageMaker does: all jobs by creation time first, and what else is filtered afterwards,
so that pages may be empty. Each job changes its secondary status seven times an hour. ``/calls``
tells how often each operation came.
"""

from __future__ import annotations

import itertools
import json
import random
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

_ARN = "arn:aws:sagemaker:us-east-1:123456789012:training-job/"
_MOVES_AN_HOUR = 7
_SECONDARY = ("Starting", "Downloading", "Training", "Uploading")


def job_names(jobs: int) -> list[str]:
    """Their names, the oldest first."""
    return [f"execution-{number:05}-n0-train-1a2b3c4d-0" for number in range(jobs)]


@dataclass
class _Job:
    created: float
    modified: float
    secondary: str = "Training"


@dataclass
class _Account:
    jobs: dict[str, _Job] = field(default_factory=dict[str, _Job])
    calls: Counter[str] = field(default_factory=Counter[str])
    lock: threading.Lock = field(default_factory=threading.Lock)

    def fill(self, jobs: int, hours: float = 1) -> None:
        """Jobs that were created one after the other in the last hours."""
        begin = time.time() - 3600 * hours
        for number, name in enumerate(job_names(jobs)):
            created = begin + 3600 * hours * number / jobs
            self.jobs[name] = _Job(created, created + 1)

    def move(self) -> None:
        chance = random.Random(7)
        names = list(self.jobs)
        while True:
            time.sleep(chance.expovariate(len(names) * _MOVES_AN_HOUR / 3600))
            job = self.jobs[chance.choice(names)]
            job.secondary, job.modified = chance.choice(_SECONDARY), time.time()

    def answer(self, operation: str, request: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        with self.lock:
            self.calls[operation] += 1
        if operation == "ListTrainingJobs":
            return 200, self._page(request)
        if operation == "DescribeTrainingJob" and request["TrainingJobName"] in self.jobs:
            return 200, self._told(request["TrainingJobName"])
        if operation.startswith("List"):
            return 200, {operation.removeprefix("List").removesuffix("s") + "Summaries": []}
        message = "Requested resource not found."
        return 400, {"__type": "ValidationException", "message": message}

    def _page(self, request: dict[str, Any]) -> dict[str, Any]:
        since = request.get("CreationTimeAfter", 0)
        newest = itertools.takewhile(
            lambda item: item[1].created > since, reversed(self.jobs.items())
        )
        begin, size = int(request.get("NextToken", 0)), request["MaxResults"]
        found = list(itertools.islice(newest, begin, begin + size + 1))
        changed, part = request.get("LastModifiedTimeAfter", 0), request.get("NameContains", "")
        shown = [
            self._told(name)
            for name, job in found[:size]
            if job.modified > changed and part in name
        ]
        more = {"NextToken": str(begin + size)} if len(found) > size else {}
        return {"TrainingJobSummaries": shown, **more}

    def _told(self, name: str) -> dict[str, Any]:
        job = self.jobs[name]
        return {
            "TrainingJobName": name,
            "TrainingJobArn": _ARN + name,
            "TrainingJobStatus": "InProgress",
            "SecondaryStatus": job.secondary,
            "CreationTime": job.created,
            "LastModifiedTime": job.modified,
        }


def _serve(jobs: int, ready: Path, hours: float) -> None:
    account = _Account()
    account.fill(jobs, hours)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            operation = self.headers["X-Amz-Target"].rpartition(".")[2]
            status, answer = account.answer(operation, json.loads(body))
            self._send(status, json.dumps(answer).encode())

        def do_PUT(self) -> None:  # an object for S3
            self.rfile.read(int(self.headers["Content-Length"]))
            with account.lock:
                account.calls["PutObject"] += 1
            self._send(200, b"")

        def do_GET(self) -> None:
            self._send(200, json.dumps(account.calls).encode())

        def _send(self, status: int, content: bytes) -> None:
            self.send_response(status)
            self.send_header("x-amzn-RequestId", "1")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=account.move, daemon=True).start()
        ready.write_text(json.dumps({"url": f"http://127.0.0.1:{server.server_port}"}))
        server.serve_forever()


if __name__ == "__main__":
    _serve(int(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3]) if sys.argv[3:] else 1.0)
