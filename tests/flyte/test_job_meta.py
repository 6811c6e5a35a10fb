"""What a connector remembers, and what a template tells it: JSON that anybody may have written."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from flytekit.core.type_engine import TypeEngine
from flytekit.models.interface import TypedInterface, Variable
from hypothesis import given, settings
from hypothesis import strategies as st

from cdao_sdk.errors import ConfigurationError, SpecError
from cdao_sdk.flyte.bundle import EntryPoint
from cdao_sdk.flyte.job_meta import JobMeta, encode_interface
from cdao_sdk.flyte.payload import TaskPayload
from cdao_sdk.kinds.build import build_spec

INTERFACE = TypedInterface(
    {}, {"o0": Variable(TypeEngine.to_literal_type(dict[str, float]), "what it is")}
)
META = JobMeta(
    kind="processing",
    job_name="f1-n0-abc-0",
    runs_body=True,
    interface=encode_interface(INTERFACE),
    pending=[{"operation": "CreateProcessingJob", "parameters": {"A": [1, {"B": "c"}]}}],
    waiting="no capacity",
)
PAYLOAD = TaskPayload(
    kind="processing",
    spec=build_spec("processing", {"framework": "sklearn", "instance_count": 2}),
    roles=(),
    runs_body=True,
    entry=EntryPoint("module", "function"),
    handlers={},
    outputs=("o0",),
    code_uri="s3://b/code",
)
_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=6,
)


def test_meta_survives_its_own_encoding() -> None:
    assert JobMeta.decode(META.encode()) == META
    assert JobMeta.decode(META.encode()).outputs == {
        "o0": TypeEngine.to_literal_type(dict[str, float])
    }
    (pending,) = META.pending_calls
    assert (pending.operation, pending.parameters) == (
        "CreateProcessingJob",
        {"A": [1, {"B": "c"}]},
    )


def changed(**changes: Any) -> bytes:
    return json.dumps({**json.loads(META.encode()), **changes}).encode()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x80\x04\x95",
        b"null",
        b"[]",
        b"[" * 100_000,
        b"\xff\xfe",
        changed(version=2),
        changed(kind=5),
        changed(job_name="../../etc"),
        changed(job_name=""),
        changed(runs_body="yes"),
        changed(surprise=1),
        changed(pending=[{"operation": "DeleteBucket", "parameters": {}}]),
        changed(pending=[{"operation": "CreateModel"}]),
        changed(pending="all"),
    ],
    ids=lambda data: data[:40],
)
def test_meta_that_we_did_not_write_is_refused(data: bytes) -> None:
    with pytest.raises(ConfigurationError, match="resource meta"):
        JobMeta.decode(data)


@pytest.mark.parametrize("interface", ["!", "AAAA", "////"])
def test_interface_that_we_did_not_write_is_refused(interface: str) -> None:
    with pytest.raises(ConfigurationError, match="resource meta"):
        _ = JobMeta.decode(changed(interface=interface)).outputs


@given(data=st.binary(max_size=50) | _json.map(lambda value: json.dumps(value).encode()))
@settings(max_examples=200, deadline=None)
def test_no_bytes_break_the_reader_of_metas(data: bytes) -> None:
    with pytest.raises(ConfigurationError):
        JobMeta.decode(data)


def test_payload_survives_json_and_flytes_struct() -> None:
    document = json.loads(json.dumps(PAYLOAD.to_json()))
    assert TaskPayload.from_json(document) == PAYLOAD
    as_struct = json.loads(json.dumps(document), parse_int=float)  # a Struct has no integers
    assert TaskPayload.from_json(as_struct) == PAYLOAD


@given(
    key=st.sampled_from([*PAYLOAD.to_json(), "more"]),
    value=_json,
)
@settings(max_examples=200, deadline=None)
def test_no_payload_breaks_the_connector(key: str, value: object) -> None:
    with contextlib.suppress(SpecError):
        TaskPayload.from_json({**PAYLOAD.to_json(), key: value})


@pytest.mark.parametrize("custom", [None, [], "x", {}, {"version": 1}])
def test_payload_that_is_none_is_refused(custom: Any) -> None:
    with pytest.raises(SpecError):
        TaskPayload.from_json(custom)
