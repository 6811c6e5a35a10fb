"""Clients that write calls down instead of sending them.

With them the connector itself says what it would send: a plan's requests are those of a run.
"""

# botocore ships no types.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from cdao_sdk.aws.rates import Rates
from cdao_sdk.aws.session import AwsClients
from cdao_sdk.kinds.job import ApiCall

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from cdao_sdk.aws.session import AwsClient, AwsTarget

__all__ = ["OpenQuestion", "RecordingClients", "artifact_uri"]

_ANSWERED: Mapping[str, object] = {"ResponseMetadata": {"RequestId": "plan"}}


class OpenQuestion(Exception):
    """AWS would have to be asked; a plan does not ask."""


class RecordingClients(AwsClients):
    """Clients whose calls go nowhere.

    Attributes:
        calls: (service, call) in the order in which they came.
    """

    def __init__(self, target: AwsTarget) -> None:
        super().__init__(target)
        self.rates = Rates(defaults={})  # what is not sent needs no pace
        self.calls: list[tuple[str, ApiCall]] = []
        self._jobs: dict[str, Mapping[str, object]] = {}

    async def client(self, service: str) -> AwsClient:
        """A client of a service, which sends nothing."""
        return cast("AwsClient", _Recorder(self, service))

    def take(self, first: int) -> tuple[tuple[ApiCall, ...], tuple[str, ...]]:
        """SageMaker requests and S3 URIs of objects, from the ``first`` call on."""
        calls = self.calls[first:]
        requests = tuple(call for service, call in calls if service == "sagemaker")
        writes = [call.parameters for service, call in calls if service == "s3"]
        return requests, tuple(f"s3://{put['Bucket']}/{put['Key']}" for put in writes)

    def answer(self, service: str, call: ApiCall) -> Mapping[str, object]:
        """What a service would say of a call.

        Raises:
            ClientError: There is no such object or job: nothing has been made.
            OpenQuestion: That is known to AWS alone.
        """
        from botocore.exceptions import ClientError

        absent = call.operation.startswith("Head") or (
            call.operation.startswith("Describe") and call.operation != "DescribeTrainingJob"
        )
        if absent:
            raise ClientError({"Error": {"Code": "404", "Message": ""}}, call.operation)
        if call.operation == "DescribeTrainingJob":
            return {**_ANSWERED, **self._described(str(call.parameters["TrainingJobName"]))}
        self.calls.append((service, call))
        if call.operation == "CreateTrainingJob":
            self._jobs[str(call.parameters["TrainingJobName"])] = call.parameters
        return _ANSWERED

    def _described(self, name: str) -> Mapping[str, object]:
        if name not in self._jobs:
            msg = f"its image follows from training job {name}, which AWS describes at run time"
            raise OpenQuestion(msg)
        return self._jobs[name]


class _Recorder:
    def __init__(self, clients: RecordingClients, service: str) -> None:
        self._clients = clients
        self._service = service

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Mapping[str, object]]]:
        operation = "".join(word.title() for word in name.split("_"))

        async def answer(**parameters: object) -> Mapping[str, object]:
            return self._clients.answer(self._service, ApiCall(operation, parameters))

        return answer


def artifact_uri(request: Mapping[str, object]) -> str:
    """Where a training job leaves its model, from CreateTrainingJob; empty for other requests.

    Source: API reference of OutputDataConfig, S3OutputPath and CompressionType.
    """
    output = cast("Mapping[str, str]", request.get("OutputDataConfig", {}))
    name = request.get("TrainingJobName")
    if not output or not name:
        return ""
    last = "model/" if output.get("CompressionType") == "NONE" else "model.tar.gz"
    return f"{output['S3OutputPath'].rstrip('/')}/{name}/output/{last}"
