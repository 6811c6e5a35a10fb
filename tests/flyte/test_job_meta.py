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

from cdao_sdk.errors import CdaoError, ConfigurationError, PlanError, SpecError
from cdao_sdk.flyte.bundle import EntryPoint
from cdao_sdk.flyte.job_meta import JobMeta, Refusal, encode_interface
from cdao_sdk.flyte.payload import TaskPayload
from cdao_sdk.kinds.build import build_spec

INTERFACE = TypedInterface(
    {}, {"o0": Variable(TypeEngine.to_literal_type(dict[str, float]), "what it is")}
)
META = JobMeta(
    kind="processing",
    job_names=("f1-n0-abc-0", "f1-n0-type1-def-0"),
    request_uri="s3://b/cdao/p/d/f1/n0/f1-n0-abc-0/request-0123456789abcdef.pb",
    request_digest="0" * 64,
    created=1795631254.458,
    project="p",
    domain="d",
    execution="f1",
    node="n0",
    attempt=1,
    runs_body=True,
    interface=encode_interface(INTERFACE),
    output_prefix="s3://flyte/metadata/propeller/p-d-f1/n0/data/1",
    has_deck=True,
    instance_types=("ml.m5.large", "ml.m5.xlarge"),
    refusal=Refusal("PlanError", "no such input"),
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


def test_meta_is_small_and_holds_no_values() -> None:
    """Propeller keeps it in the workflow's Kubernetes object, and logs it."""
    assert len(META.encode()) < 2_000


def test_refusal_is_the_error_again() -> None:
    refusal = Refusal.of(SpecError("this is wrong", problems=["and this"]))
    error = refusal.raised()
    assert isinstance(error, SpecError)
    assert str(error) == "this is wrong\n  - and this"
    assert type(Refusal("KeyboardInterrupt", "x").raised()) is CdaoError
    assert len(Refusal.of(PlanError("x" * 10_000)).message) == 2_000


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
        changed(version=1),
        changed(kind=5),
        changed(job_names=["../../etc"]),
        changed(job_names=[""]),
        changed(job_names=["a"] * 11),
        changed(request_uri="file:///etc/passwd"),
        changed(request_digest="xyz"),
        changed(output_prefix="s3://" + "x" * 2_000),
        changed(interface="A" * 70_000),
        changed(runs_body="yes"),
        changed(surprise=1),
        changed(refusal={"error": "PlanError"}),
        changed(refusal="all"),
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
