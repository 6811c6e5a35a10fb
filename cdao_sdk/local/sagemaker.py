"""SageMaker's API: jobs, models and tags, over the JSON protocol.

Every request is checked against botocore's service model first; what the API has and the embedded
one has not answers UnsupportedOperation.
"""

from __future__ import annotations

import json
import threading
import time
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, cast

from cdao_sdk.local import models as model_files
from cdao_sdk.local.errors import AwsError, ValidationFailed
from cdao_sdk.local.index_files import Entry
from cdao_sdk.local.injection import Call
from cdao_sdk.local.inputs import check_inputs
from cdao_sdk.local.job_fates import check_quota, fate_of
from cdao_sdk.local.job_index import JobIndex
from cdao_sdk.local.job_kinds import JOB_KINDS, JobKind, kind_of_operation
from cdao_sdk.local.pages import page
from cdao_sdk.local.rules import broken_rules
from cdao_sdk.local.service_model import sagemaker_model
from cdao_sdk.local.tags import listed, resource_of
from cdao_sdk.local.transitions import TERMINAL, created, status_of
from cdao_sdk.local.validation import detected, violations

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from cdao_sdk.local.faults import Rule
    from cdao_sdk.local.injection import Injector
    from cdao_sdk.local.lifecycle import Lifecycle
    from cdao_sdk.local.models import Model, Models
    from cdao_sdk.local.objects import ObjectStore
    from cdao_sdk.local.records import Record, Records
    from cdao_sdk.local.tags import TagStore

    Request = Mapping[str, Any]
    Answer = Mapping[str, Any]

# How often finished jobs are written to the index files, for a server may be killed.
_WRITE_SECONDS = 60.0
_MODEL_SUMMARY = ("ModelName", "ModelArn", "CreationTime")
_NOT_FOUND = "Requested resource not found."


class SageMaker:
    """Answers SageMaker's calls for one server."""

    def __init__(
        self,
        *,
        records: Records,
        models: Models,
        tags: TagStore,
        objects: ObjectStore,
        lifecycle: Lifecycle,
        injector: Injector,
    ) -> None:
        self._records = records
        self._models = models
        self._tags = tags
        self._objects = objects
        self._lifecycle = lifecycle
        self._injector = injector
        self._quotas = threading.Lock()
        self._indexes = {kind.kind: JobIndex(kind, records) for kind in JOB_KINDS}
        self._job_calls: dict[str, Callable[[JobKind, Request, str], Answer]] = {
            "Describe": self._describe_job,
            "List": self._list_jobs,
            "Stop": self._stop_job,
        }
        self._calls: dict[str, Callable[[Request, str], Answer]] = {
            "CreateModel": self._create_model,
            "DescribeModel": self._describe_model,
            "DeleteModel": self._delete_model,
            "ListModels": self._list_models,
            "AddTags": self._add_tags,
            "ListTags": self._list_tags,
            "DeleteTags": self._delete_tags,
        }

    def keep_indexes(self, closing: threading.Event) -> None:
        """Read what the first calls will need, and write it down for the next server to start.

        Returns when `closing` is set, with all written.
        """
        sagemaker_model()
        is_closing = False
        while True:
            for index in self._indexes.values():
                index.entries()
                index.write()
            if is_closing:
                return
            is_closing = closing.wait(_WRITE_SECONDS)

    def answer(self, operation: str, body: bytes, region: str, own: Rule | None = None) -> Answer:
        """Answer one call; `own` is the fault that it brings along.

        Raises:
            AwsError: what the call is refused for.
        """
        job_call = kind_of_operation(operation)
        is_offered = operation in self._calls or (
            job_call and (job_call[0] == "Create" or job_call[0] in self._job_calls)
        )
        if not is_offered:
            raise _not_offered(operation)
        request = _parsed(body)
        found = violations(sagemaker_model(), operation, request)
        if found:
            raise ValidationFailed(detected(found))
        broken = broken_rules(operation, request)
        if broken:
            raise ValidationFailed(broken[0] if len(broken) == 1 else detected(broken))
        if job_call:
            verb, kind = job_call
            if verb == "Create":
                return self._create_job(kind, request, region, own)
            return self._job_calls[verb](kind, request, region)
        return self._calls[operation](request, region)

    # Jobs

    def _create_job(self, kind: JobKind, request: Request, region: str, own: Rule | None) -> Answer:
        model = self._models.get(request["ModelName"], region) if "ModelName" in request else None
        if model is not None:
            model.check_batch()
        check_inputs(kind, request, self._objects, region)
        describe = created(
            kind,
            request,
            members=sagemaker_model().output_members(f"Describe{kind.title}"),
            region=region,
            now=round(time.time(), 3),
        )
        name = request[kind.name_member]
        is_new = self._records.get(kind, name) is None
        call = Call(operation=f"Create{kind.title}", name=name, own=own)
        rules = self._injector.for_job(call) if is_new else []
        # One after the other, for each counts those before it.
        with self._quotas if rules else nullcontext():
            check_quota(kind, request, rules, self._indexes[kind.kind].live_requests)
            if is_new:
                # Before the job can be seen: whoever finds it finds its tags.
                self._tags.add((kind.resource, name), request.get("Tags", ()))
            self._lifecycle.submit(
                kind,
                request,
                describe=describe,
                region=region,
                model=model.request if model else None,
                fate=fate_of(request, rules),
            )
        return {kind.arn_member: describe[kind.arn_member]}

    def _describe_job(self, kind: JobKind, request: Request, _region: str) -> Answer:
        return self._job(kind, request[kind.name_member]).describe

    def _list_jobs(self, kind: JobKind, request: Request, _region: str) -> Answer:
        entries, token = page(self._indexes[kind.kind].entries(), request, order=kind.list_order)
        return _page_of(f"{kind.title}Summaries", kind.summary, entries, token)

    def _stop_job(self, kind: JobKind, request: Request, _region: str) -> Answer:
        name = request[kind.name_member]
        record = self._job(kind, name)
        status = status_of(kind, record.describe)
        if status in TERMINAL:
            msg = f"The request was rejected because the {kind.noun} is in status {status}."
            raise ValidationFailed(msg)
        if not self._lifecycle.stop(kind, name) and record.owner != self._records.server_id:
            self._records.request_stop(kind, name)
        return {}

    def _job(self, kind: JobKind, name: str) -> Record:
        record = self._records.get(kind, name)
        if record is None:
            raise ValidationFailed(_NOT_FOUND)
        return record

    # Models

    def _create_model(self, request: Request, region: str) -> Answer:
        model = self._models.create(request, region)
        self._tags.add((model_files.RESOURCE, model.name), request.get("Tags", ()))
        return {"ModelArn": model.arn}

    def _describe_model(self, request: Request, region: str) -> Answer:
        model = self._models.get(request["ModelName"], region)
        members = sagemaker_model().output_members("DescribeModel")
        told = {
            "EnableNetworkIsolation": False,
            **model.request,
            **_summary_of(model),
        }
        return {member: told[member] for member in members if member in told}

    def _delete_model(self, request: Request, region: str) -> Answer:
        name = request["ModelName"]
        self._models.delete(name, region)
        self._tags.forget((model_files.RESOURCE, name))
        return {}

    def _list_models(self, request: Request, _region: str) -> Answer:
        entries = [
            Entry(
                name=model.name,
                status="",
                created=model.created,
                modified=model.created,
                values=[*_summary_of(model).values()],
            )
            for model in self._models.list()
        ]
        shown, token = page(entries, request, order="Descending")
        return _page_of("Models", _MODEL_SUMMARY, shown, token)

    # Tags

    def _add_tags(self, request: Request, region: str) -> Answer:
        resource = self._tagged(request, region)
        return {"Tags": listed(self._tags.add(resource, request["Tags"]))}

    def _list_tags(self, request: Request, region: str) -> Answer:
        return {"Tags": listed(self._tags.get(self._tagged(request, region)))}

    def _delete_tags(self, request: Request, region: str) -> Answer:
        self._tags.remove(self._tagged(request, region), request["TagKeys"])
        return {}

    def _tagged(self, request: Request, region: str) -> tuple[str, str]:
        resource, name = resource_of(request["ResourceArn"])
        kind = next((kind for kind in JOB_KINDS if kind.resource == resource), None)
        if kind:
            self._job(kind, name)
        elif resource == model_files.RESOURCE:
            self._models.get(name, region)
        else:
            raise ValidationFailed(_NOT_FOUND)
        return resource, name


def _summary_of(model: Model) -> dict[str, Any]:
    told = (model.name, model.arn, model.created)
    return dict(zip(_MODEL_SUMMARY, told, strict=True))


def _page_of(
    member: str, members: Sequence[str], entries: list[Entry], token: str | None
) -> Answer:
    shown = {member: [entry.summary(members) for entry in entries]}
    return {**shown, "NextToken": token} if token else shown


def _parsed(body: bytes) -> dict[str, Any]:
    try:
        request = json.loads(body or b"{}")
    except (ValueError, RecursionError) as error:
        msg = f"The body is not JSON: {error}"
        raise AwsError(code="SerializationException", message=msg) from error
    if not isinstance(request, dict):
        msg = "The body is not a JSON object"
        raise AwsError(code="SerializationException", message=msg)
    given = cast("dict[str, Any]", request)
    return {name: value for name, value in given.items() if value is not None}


def _not_offered(operation: str) -> AwsError:
    if operation in sagemaker_model().operations:
        msg = f"The embedded SageMaker does not offer {operation} yet."
        return AwsError(code="UnsupportedOperation", message=msg)
    msg = f"SageMaker has no operation {operation!r}."
    return AwsError(code="UnknownOperationException", message=msg, status=404)
