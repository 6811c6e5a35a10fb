"""The server's own paths, beside those of AWS: `/_cdao/…`, which no bucket can be called.

GET    /_cdao/faults                  the plan in force, and what it struck
PUT    /_cdao/faults                  another plan
DELETE /_cdao/faults                  none
POST   /_cdao/interruptions/<job>     reclaim a training job's spot instances
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from werkzeug.wrappers import Response

from cdao_sdk.local.faults import FaultPlan, FaultsRefused, parse_plan
from cdao_sdk.local.job_kinds import JOB_KINDS

if TYPE_CHECKING:
    from collections.abc import Callable

    from werkzeug.wrappers import Request

    from cdao_sdk.local.injection import Injector
    from cdao_sdk.local.lifecycle import Lifecycle

PREFIX = "/_cdao/"


class Admin:
    """Answers the requests on the server's own paths."""

    def __init__(self, injector: Injector, lifecycle: Lifecycle) -> None:
        self._injector = injector
        self._lifecycle = lifecycle
        self._faults: dict[str, Callable[[Request], Response]] = {
            "GET": lambda _request: _json(injector.document()),
            "PUT": self._put,
            "DELETE": self._delete,
        }

    def __call__(self, request: Request) -> Response:
        """Answer one request."""
        what, _, name = request.path.removeprefix(PREFIX).partition("/")
        if what == "faults" and not name and request.method in self._faults:
            return self._faults[request.method](request)
        if what == "interruptions" and name and request.method == "POST":
            return self._interrupt(name)
        return _refused(404, [f"there is no {request.method} {request.path}"])

    def _put(self, request: Request) -> Response:
        try:
            plan = parse_plan(request.get_data())
        except FaultsRefused as error:
            return _refused(400, error.problems)
        self._injector.replace(plan)
        return _json(self._injector.document())

    def _delete(self, _request: Request) -> Response:
        self._injector.replace(FaultPlan())
        return _json(self._injector.document())

    def _interrupt(self, name: str) -> Response:
        if any(self._lifecycle.interrupt(kind, name) for kind in JOB_KINDS):
            return _json({"interrupted": name})
        return _refused(404, [f"no job {name!r} on managed spot instances runs on this server"])


def _json(document: object, status: int = 200) -> Response:
    return Response(json.dumps(document), status=status, content_type="application/json")


def _refused(status: int, problems: list[str]) -> Response:
    return _json({"problems": problems}, status)
