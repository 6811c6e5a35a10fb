"""State changes of EventBridge, through a real queue of moto's."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cdao_sdk.aws.bridge import bridge
from cdao_sdk.aws.job_events import JobEvents, changed_job
from cdao_sdk.aws.session import AwsClients, embedded_target
from cdao_sdk.aws.status import StatusOptions, StatusWatcher
from cdao_sdk.errors import CdaoError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cdao_sdk.local.server import LocalSageMaker

REGION = "us-east-1"


def event(name: str, *, kind: str = "Training", **changes: Any) -> str:
    """As SageMaker sends it; shortened."""
    document = {
        "version": "0",
        "id": "844e2571-85d4-695f-b930-0153b71dcb42",
        "detail-type": f"SageMaker {kind} Job State Change",
        "source": "aws.sagemaker",
        "account": "123456789012",
        "time": "2026-11-05T09:31:52Z",
        "region": REGION,
        "resources": [f"arn:aws:sagemaker:{REGION}:123456789012:{kind.lower()}-job/{name}"],
        "detail": {
            f"{kind}JobName": name,
            f"{kind}JobStatus": "InProgress",
            "SecondaryStatus": "Training",
            "LastModifiedTime": 1793871112000,
        },
    }
    return json.dumps({**document, **changes})


@pytest.fixture
def queue(boto: Any, unique: str) -> Any:
    """A queue, and what puts messages into it."""
    client = boto("sqs")
    url = client.create_queue(QueueName=unique)["QueueUrl"]

    class Queue:
        def __init__(self) -> None:
            self.url = url

        def put(self, *bodies: str) -> None:
            for body in bodies:
                client.send_message(QueueUrl=url, MessageBody=body)

        def left(self) -> int:
            told = client.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
            keys = ("ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible")
            return sum(int(told[key]) for key in keys)

    return Queue()


@pytest.fixture
def receiver(
    embedded: LocalSageMaker, clients_of: Any, queue: Any
) -> tuple[JobEvents, list[tuple[str, str]]]:
    changed: list[tuple[str, str]] = []

    def note(kind: str, name: str) -> bool:
        changed.append((kind, name))
        return True

    return JobEvents(clients_of(embedded.url), queue.url, note, wait_seconds=0), changed


def test_events_are_handed_on_and_deleted(receiver: Any, queue: Any) -> None:
    events, changed = receiver
    queue.put(event("a"), event("b", kind="Processing"), event("c", kind="Transform"))
    assert not events.is_live
    while bridge.run(events.receive(), timeout=30):
        pass
    assert sorted(changed) == [("processing", "b"), ("training", "a"), ("transform", "c")]
    assert queue.left() == 0
    assert events.is_live


HOSTILE = [
    "",
    "no JSON",
    "[" * 100_000,
    "[]",
    "null",
    "{}",
    event("a", source="aws.batch"),
    event("a", region="eu-west-1"),
    event("a", detail="text"),
    event("a", detail={"TrainingJobName": 3}),
    event("a", detail={"ProcessingJobName": "a"}),
    event("a", **{"detail-type": "SageMaker Endpoint State Change"}),
    event("a", **{"detail-type": ["SageMaker Training Job State Change"]}),
    event("../etc/passwd"),
    event("a\n"),
    event("a" * 64),
]


def test_messages_that_are_no_events_are_dropped_and_counted(receiver: Any, queue: Any) -> None:
    from prometheus_client import REGISTRY

    def dropped() -> float:
        return REGISTRY.get_sample_value("cdao_job_events_total", {"outcome": "dropped"}) or 0

    events, changed = receiver
    before = dropped()
    queue.put(*filter(None, HOSTILE), event("good"))  # SQS takes no empty ones
    while bridge.run(events.receive(), timeout=30):
        pass
    assert changed == [("training", "good")]
    assert dropped() == before + len(HOSTILE) - 1
    assert queue.left() == 0


@pytest.mark.parametrize("body", [*HOSTILE, None, 3, b"{}"])
def test_no_event_is_no_job(body: object) -> None:
    assert changed_job(body, REGION) is None


json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@settings(max_examples=50)
@given(st.dictionaries(st.sampled_from(["source", "region", "detail", "detail-type"]), json_values))
def test_no_message_raises(document: dict[str, Any]) -> None:
    changed_job(json.dumps(document), REGION)
    changed_job(event("a", **document), REGION)


def test_queue_that_is_not_there_is_an_error(clients_of: Any, embedded: LocalSageMaker) -> None:
    url = "https://sqs.us-east-1.amazonaws.com/123456789012/none"
    events = JobEvents(clients_of(embedded.url), url, lambda *_: True, wait_seconds=0)
    with pytest.raises(CdaoError, match="ReceiveMessage"):
        bridge.run(events.receive(), timeout=30)
    assert not events.is_live


def test_receiver_stops_when_it_is_told(receiver: Any, queue: Any, until: Any) -> None:
    events, changed = receiver
    queue.put(event("a"))

    async def start() -> None:
        events.start()
        events.start()

    bridge.run(start())
    until(lambda: changed)
    bridge.run(events.close(), timeout=10)
    bridge.run(events.close(), timeout=10)
    queue.put(event("b"))
    assert queue.left() == 1


@pytest.fixture
def listening(account: Any, queue: Any, boto: Any) -> Iterator[StatusWatcher]:
    """A watcher of the account whose queue is at the embedded server."""
    clients = AwsClients(embedded_target(account.url))
    queues = AwsClients(embedded_target(boto("sqs").meta.endpoint_url))

    async def new() -> StatusWatcher:
        options = StatusOptions(events_queue_url=queue.url)
        watcher = StatusWatcher(clients, options, patience_seconds=30, clock=lambda: account.now)
        watcher._events = JobEvents(
            queues, queue.url, watcher.changed, wait_seconds=0, clock=lambda: account.now
        )
        watcher._events.start = lambda: None  # type: ignore[method-assign] # the test receives
        return watcher

    watcher = bridge.run(new())
    yield watcher
    for each in (watcher, clients, queues):
        bridge.run(each.close())


def test_only_the_job_of_an_event_is_described_and_lists_are_rare(
    listening: StatusWatcher, account: Any, queue: Any, ask: Callable[..., Any]
) -> None:
    events = listening._events
    assert events is not None
    names = [account.add(f"job-{number}") for number in range(12)]
    bridge.run(events.receive(), timeout=30)
    ask(listening, *names)
    ask(listening, *names)
    account.calls.clear()
    account.now += 30
    account.change("job-3", "Completed")
    queue.put(event("job-3"), event("foreign"))
    bridge.run(events.receive(), timeout=30)
    found = {status.name for status in ask(listening, *names) if status.is_over}
    assert found == {"job-3"}
    assert account.calls == {"DescribeTrainingJob": 1}
    account.now += 31
    bridge.run(events.receive(), timeout=30)
    ask(listening, *names)
    assert account.calls["ListTrainingJobs"] == 1


def test_lists_are_frequent_again_when_the_queue_is_silent(
    listening: StatusWatcher, account: Any, ask: Callable[..., Any]
) -> None:
    events = listening._events
    assert events is not None
    names = [account.add(f"job-{number}") for number in range(12)]
    bridge.run(events.receive(), timeout=30)
    ask(listening, *names)
    account.now += 100
    ask(listening, *names)
    account.calls.clear()
    account.now += 20
    ask(listening, *names)
    assert account.calls["ListTrainingJobs"] == 1


def test_watcher_listens_to_the_queue_of_its_options(
    embedded: LocalSageMaker, clients_of: Any, queue: Any, start_processing: Any, until: Any
) -> None:
    clients, unique = clients_of(embedded.url), queue.url.rpartition("/")[2]
    name = start_processing(f"{unique}-p", "import time; time.sleep(60)")

    async def ask() -> Any:
        options = StatusOptions(interval_seconds=3600, events_queue_url=queue.url)
        watcher = StatusWatcher(clients, options)
        clients.attached(StatusWatcher, lambda: watcher)
        return watcher, await watcher.status("processing", name)

    watcher, status = bridge.run(ask(), timeout=30)
    assert status.status == "InProgress"
    queue.put(event(name, kind="Processing"))
    until(lambda: watcher._boards["processing"].seats[name].is_changed)
    until(lambda: queue.left() == 0)
    bridge.run(watcher.close())
    queue.put(event(name))  # ends the server's long poll
