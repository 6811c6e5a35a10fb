"""Requests that nobody honest sends: each gets a status, and the service lives on."""

from __future__ import annotations

import json
import os
import pickle
import time
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from flyteidl.admin.agent_pb2 import (
    CreateTaskRequest,
    DeleteTaskRequest,
    GetTaskRequest,
    TaskCategory,
)
from flyteidl.core import literals_pb2
from flyteidl.core.execution_pb2 import TaskExecution
from flyteidl.service.agent_pb2_grpc import AsyncAgentServiceStub
from google.protobuf import struct_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from conftest import Served

CATEGORY = TaskCategory(name="sagemaker_processing", version=0)
# What a caller's own mistake may be answered with; INTERNAL would be ours.
EXPECTED = {
    grpc.StatusCode.OK,
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.FAILED_PRECONDITION,
}
PATH = "/flyteidl.service.AsyncAgentService/"
examples = settings(
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    deadline=None,
)

hostile_text = st.one_of(
    st.text(max_size=40),
    st.sampled_from(
        [
            *("", "\x00", '\n{"level": "critical"}\n', "\x1b[2J\x1b[31m", "\u2028\u2029"),
            *("../../etc/passwd", "s3://", "s3:///x", "s3://b/../c", "{{.inputs.x}}", "%s%n"),
            *("__import__('os')", "a" * 70_000, "\U0001f4a9" * 100, "-" * 64, "NaN"),
        ]
    ),
)


def sent(channel: grpc.Channel, method: str, data: bytes) -> tuple[grpc.StatusCode, str]:
    """The status of a call with these bytes."""
    call = channel.unary_unary(PATH + method, lambda given: given, lambda given: given)
    try:
        call(data, timeout=60)
    except grpc.RpcError as error:
        return error.code(), error.details() or ""
    return grpc.StatusCode.OK, ""


def check(
    channel: grpc.Channel, method: str, data: bytes, *more: grpc.StatusCode
) -> grpc.StatusCode:
    code, detail = sent(channel, method, data)
    assert code in {*EXPECTED, *more}, (code, detail)
    assert len(detail) <= 2_000
    assert not any(character < " " or character == "\x7f" for character in detail), detail
    return code


@pytest.fixture
def unhurt(service: Served, create_request: Callable[..., Any]) -> Any:
    """After the test the service lives, answers rightly and has not grown."""
    before = service.memory_mb()
    yield
    with service.channel() as channel:
        stub = AsyncAgentServiceStub(channel)
        created = stub.CreateTask(create_request(number=1), timeout=30)
        get = GetTaskRequest(task_category=CATEGORY, resource_meta=created.resource_meta)
        assert stub.GetTask(get, timeout=30).resource.phase
        probe = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
        assert probe.status == health_pb2.HealthCheckResponse.SERVING
    assert service.process.poll() is None
    assert service.lines()  # each of them is JSON
    assert service.metrics()["cdao_connector_requests_in_flight"] == 0
    assert service.memory_mb() - before < 100


def strings_of(message: Any, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Paths to all string fields of a message that are set."""
    found: list[tuple[str, ...]] = []
    for field, value in message.ListFields():
        if field.message_type is None and isinstance(value, str):
            found.append((*path, field.name))
        elif field.message_type is not None and hasattr(value, "ListFields"):
            found += strings_of(value, (*path, field.name))
    return found


@examples
@given(data=st.data())
@pytest.mark.usefixtures("unhurt")
def test_any_text_in_any_field(
    service: Served, create_request: Callable[..., Any], data: st.DataObject
) -> None:
    request = create_request()
    request.task_execution_metadata.task_execution_id.retry_attempt = data.draw(
        st.integers(0, 2**32 - 1)
    )
    for path in data.draw(st.lists(st.sampled_from(strings_of(request)), max_size=3)):
        target = request
        for name in path[:-1]:
            target = getattr(target, name)
        setattr(target, path[-1], data.draw(hostile_text))
    custom = request.template.custom.fields
    for name in data.draw(st.lists(st.sampled_from(sorted(custom)), max_size=2)):
        custom[name].CopyFrom(data.draw(struct_values))
    spec = custom["spec"].struct_value.fields
    spec[data.draw(st.sampled_from(["instance_type", "image_uri", "tags", "x"]))].CopyFrom(
        data.draw(struct_values)
    )
    with service.channel() as channel:
        check(channel, "CreateTask", request.SerializeToString())


def struct_value(value: object) -> struct_pb2.Value:
    """Also what JSON has not: NaN and the infinities."""
    found = struct_pb2.Value()
    if value is None:
        found.null_value = struct_pb2.NULL_VALUE
    elif isinstance(value, bool):
        found.bool_value = value
    elif isinstance(value, (int, float)):
        found.number_value = float(value)
    elif isinstance(value, str):
        found.string_value = value
    elif isinstance(value, list):
        found.list_value.values.extend(struct_value(item) for item in value)
    elif isinstance(value, dict):
        for name, item in value.items():
            found.struct_value.fields[name].CopyFrom(struct_value(item))
    return found


struct_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.floats(), st.integers(-(2**60), 2**60), hostile_text),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=10), inner, max_size=3)
    ),
    max_leaves=8,
).map(struct_value)


@examples
@given(data=st.data())
@pytest.mark.usefixtures("unhurt")
def test_any_bytes_in_place_of_a_request(
    service: Served, create_request: Callable[..., Any], data: st.DataObject
) -> None:
    content = bytearray(create_request().SerializeToString())
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(content)))
        end = start + data.draw(st.integers(0, 8))
        content[start:end] = data.draw(st.binary(max_size=8))
    method = data.draw(st.sampled_from(["CreateTask", "GetTask", "DeleteTask"]))
    with service.channel() as channel:
        check(channel, method, bytes(content))


@examples
@given(data=st.data())
@pytest.mark.usefixtures("unhurt")
def test_any_meta(service: Served, meta: bytes, data: st.DataObject) -> None:
    fields = json.loads(meta)
    for name in data.draw(st.lists(st.sampled_from([*sorted(fields), "x"]), max_size=3)):
        fields[name] = data.draw(
            st.one_of(st.none(), st.integers(), hostile_text, st.lists(st.text(), max_size=2))
        )
    whole = data.draw(st.one_of(st.just(json.dumps(fields).encode()), st.binary(max_size=200)))
    with service.channel() as channel:
        for kind in (GetTaskRequest, DeleteTaskRequest):
            request = kind(task_category=CATEGORY, resource_meta=whole)
            method = kind.__name__.removesuffix("Request")
            # A forged meta that passes for ours may lead anywhere; it must not get out of the call.
            check(channel, method, request.SerializeToString(), grpc.StatusCode.INTERNAL)


@pytest.fixture
def meta(service: Served, create_request: Callable[..., Any]) -> bytes:
    """The meta of a real job."""
    with service.channel() as channel:
        created = AsyncAgentServiceStub(channel).CreateTask(create_request(), timeout=30)
    return bytes(created.resource_meta)


class Bomb:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, file: str) -> None:
        self.file = file

    def __reduce__(self) -> Any:
        return os.mknod, (self.file,)


@pytest.mark.usefixtures("unhurt")
def test_no_pickle_is_opened(
    service: Served, create_request: Callable[..., Any], tmp_path: Path
) -> None:
    bomb = pickle.dumps(Bomb(str(tmp_path / "opened")))
    request = create_request()
    for tag in ("", "pickle", "msgpack"):
        request.inputs.literals[f"x{tag}"].scalar.binary.CopyFrom(
            literals_pb2.Binary(value=bomb, tag=tag)
        )
    with service.channel() as channel:
        check(channel, "CreateTask", request.SerializeToString())
        for method, kind in (("GetTask", GetTaskRequest), ("DeleteTask", DeleteTaskRequest)):
            about = kind(task_category=CATEGORY, resource_meta=bomb)
            code = check(channel, method, about.SerializeToString())
            assert code == grpc.StatusCode.INVALID_ARGUMENT
    assert not (tmp_path / "opened").exists()


def nested(depth: int) -> struct_pb2.Struct:
    value = struct_pb2.Value(string_value="x")
    for _ in range(depth):
        value = struct_pb2.Value(struct_value=struct_pb2.Struct(fields={"a": value}))
    return struct_pb2.Struct(fields={"a": value})


def deep(request: CreateTaskRequest) -> bytes:
    request.template.custom.CopyFrom(nested(30))
    return request.SerializeToString()


def too_deep(request: CreateTaskRequest) -> bytes:
    """Nested beyond what protobuf reads; protobuf would not write it, so by hand."""
    inner = b""
    for _ in range(3_000):
        value = b"\x2a" + varint(len(inner)) + inner  # Value.struct_value
        entry = b"\x0a\x01a\x12" + varint(len(value)) + value
        inner = b"\x0a" + varint(len(entry)) + entry
    template = b"\x2a" + varint(len(inner)) + inner  # TaskTemplate.custom
    return request.SerializeToString() + b"\x12" + varint(len(template)) + template


def varint(number: int) -> bytes:
    found = bytearray()
    while number > 127:
        found.append(number & 127 | 128)
        number >>= 7
    return bytes([*found, number])


def huge_custom(request: CreateTaskRequest) -> bytes:
    request.template.custom["x"] = "y" * 2_000_000
    return request.SerializeToString()


def many_fields(request: CreateTaskRequest) -> bytes:
    for number in range(100_000):
        request.template.custom[f"f{number}"] = number
    return request.SerializeToString()


def many_inputs(request: CreateTaskRequest) -> bytes:
    for number in range(100_000):
        request.inputs.literals[f"f{number}"].scalar.primitive.integer = number
    return request.SerializeToString()


def not_utf8(request: CreateTaskRequest) -> bytes:
    return request.SerializeToString().replace(b"sagemaker_processing", b"\xff\xfe" + b"x" * 18)


def no_numbers(request: CreateTaskRequest) -> bytes:
    for name, number in (("a", float("nan")), ("b", float("inf"))):
        spec = request.template.custom.fields["spec"].struct_value.fields
        spec[name].number_value = number
    return request.SerializeToString()


def deep_literal(request: CreateTaskRequest) -> bytes:
    literal = literals_pb2.Literal()
    literal.scalar.primitive.integer = 1
    for _ in range(40):
        outer = literals_pb2.Literal()
        outer.collection.literals.append(literal)
        literal = outer
    request.inputs.literals["number"].CopyFrom(literal)
    return request.SerializeToString()


def empty(_: CreateTaskRequest) -> bytes:
    return b""


@pytest.mark.parametrize(
    "spoil",
    [
        *(deep, too_deep, huge_custom, many_fields, many_inputs),
        *(not_utf8, no_numbers, deep_literal, empty),
    ],
    ids=lambda spoil: spoil.__name__,
)
@pytest.mark.usefixtures("unhurt")
def test_sizes_and_depths(
    service: Served, create_request: Callable[..., Any], spoil: Callable[..., bytes]
) -> None:
    data = spoil(create_request())
    with service.channel() as channel:
        code = check(channel, "CreateTask", data)
        if code == grpc.StatusCode.OK:
            request = CreateTaskRequest.FromString(data)
            stub = AsyncAgentServiceStub(channel)
            meta = stub.CreateTask(request, timeout=60).resource_meta
            get = GetTaskRequest(task_category=CATEGORY, resource_meta=meta)
            phase = stub.GetTask(get, timeout=60).resource.phase
            # What is wrong with the task is told by the job; what its inputs are, by its function.
            assert (phase == TaskExecution.FAILED) == (spoil not in (many_inputs, deep_literal))


@pytest.mark.usefixtures("unhurt")
def test_a_message_beyond_the_limit_is_refused(service: Served) -> None:
    with service.channel() as channel:
        code, _ = sent(channel, "CreateTask", b"\x00" * (17 * 1024**2))
    assert code == grpc.StatusCode.RESOURCE_EXHAUSTED


@pytest.mark.usefixtures("unhurt")
def test_deep_json_as_meta(service: Served) -> None:
    with service.channel() as channel:
        for content in (b"[" * 100_000, b'{"a":' * 50_000, b"1" * 500_000, b"x" * 1_100_000):
            request = GetTaskRequest(task_category=CATEGORY, resource_meta=content)
            code = check(channel, "GetTask", request.SerializeToString())
            assert code == grpc.StatusCode.INVALID_ARGUMENT


def test_metric_labels_do_not_grow_with_what_callers_invent(service: Served) -> None:
    with service.channel() as channel:
        before = len(service.metrics())
        for number in range(50):
            request = GetTaskRequest(task_category=TaskCategory(name=f"invented_{number}"))
            sent(channel, "GetTask", request.SerializeToString())
        after = service.metrics()
    assert not [name for name in after if "invented" in name]
    assert len(after) < before + 30


def test_a_flood_is_told_to_come_back(start_service: Callable[..., Any], meta: bytes) -> None:
    flooded = start_service("--max-concurrent", "1")
    request = GetTaskRequest(task_category=CATEGORY, resource_meta=meta)
    heavy = CreateTaskRequest(output_prefix="x" * 14 * 1024**2)
    with flooded.channel() as channel:
        stub = AsyncAgentServiceStub(channel)
        started = time.monotonic()
        calls = [stub.CreateTask.future(heavy, timeout=60) for _ in range(30)]
        calls += [stub.GetTask.future(request, timeout=60) for _ in range(200)]
        codes = {call.code() for call in calls}
        assert codes <= {*EXPECTED, grpc.StatusCode.UNAVAILABLE}
        assert stub.GetTask(request, timeout=30).resource.phase
        assert time.monotonic() - started < 60
    assert flooded.memory_mb() < 400
