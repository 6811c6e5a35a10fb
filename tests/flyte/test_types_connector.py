"""What the connector does with data that it must not touch: pickles and large files."""

from __future__ import annotations

import json
import os
import pickle
import secrets
from typing import TYPE_CHECKING, Any

import pytest
import type_jobs as jobs
from flyteidl.core.execution_pb2 import TaskExecution
from flytekit.core.type_engine import TypeEngine
from flytekit.models import literals as lit
from flytekit.types.directory import FlyteDirectory
from flytekit.types.file import FlyteFile

from cdao_sdk.aws.bridge import bridge
from cdao_sdk.errors import PlanError

if TYPE_CHECKING:
    from collections.abc import Callable
    from http.server import BaseHTTPRequestHandler
    from pathlib import Path

    from cdao_sdk.flyte.services import Services
    from cdao_sdk.local.server import LocalSageMaker

BUCKET = "cdao-tests"
LARGE = 3_000_000


class Trap:
    """Unpickled, it writes down in which process."""

    def __init__(self, path: str) -> None:
        note = "str(__import__('os').getpid())"
        self.code = f"__import__('pathlib').Path({path!r}).write_text({note})"

    def __reduce__(self) -> tuple[object, ...]:
        return (eval, (self.code,))


def _pickled(uri: str) -> lit.Literal:
    blob = lit.Blob(lit.BlobMetadata(TypeEngine.to_literal_type(Any).blob), uri)
    return lit.Literal(scalar=lit.Scalar(blob=blob))


def _loose(one: Any, uri: str) -> Any:
    """Drives a task of `Dict[str, Any]` and `List[Any]` with one pickle for all of them."""
    pickled = _pickled(uri)
    inputs = {
        "values": lit.Literal(map=lit.LiteralMap({"b": pickled, "a": pickled})),
        "items": lit.Literal(collection=lit.LiteralCollection([pickled] * 3)),
    }
    meta = bridge.run(
        one.connector.create(
            task_template=one.template,
            output_prefix=one.output_prefix,
            inputs=lit.LiteralMap(inputs),
            task_execution_metadata=one.metadata(),
        )
    )
    return one.finish(meta)


def test_pickles_are_opened_by_the_job_alone(
    driven: Any, embedded: LocalSageMaker, tmp_path: Path
) -> None:
    trail = tmp_path / "trail"
    trap = pickle.dumps(Trap(str(trail)), protocol=2)
    embedded.objects.put_bytes(BUCKET, "pickles/trap", trap)
    one = driven(jobs.loose)
    resource = _loose(one, f"s3://{BUCKET}/pickles/trap")
    assert one.value(resource) == "['a', 'b'] 3"
    assert trail.read_text().isdigit()
    assert trail.read_text() != str(os.getpid())
    pickle.loads(trap)  # noqa: S301 # the trap is a real one: whoever reads it is written down
    assert trail.read_text() == str(os.getpid())


@pytest.fixture
def traffic(proxy: Any, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str, int]]:
    """(method, path, bytes sent) of each request that goes through the proxy."""
    seen: list[tuple[str, str, int]] = []
    answer = proxy.answer

    def counted(request: BaseHTTPRequestHandler) -> None:
        sent = int(request.headers.get("Content-Length") or 0)
        seen.append((request.command, request.path, sent))
        answer(request)

    monkeypatch.setattr(proxy, "answer", counted)
    return seen


def test_files_pass_by_the_connector(
    driven: Callable[..., Any],
    proxied: Services,
    embedded: LocalSageMaker,
    traffic: list[tuple[str, str, int]],
) -> None:
    folder = f"large/{secrets.token_hex(4)}"
    for name in ("file.bin", "folder/a", "listed/0", "listed/1"):
        embedded.objects.put_bytes(BUCKET, f"{folder}/{name}", b"x" * LARGE)
    at = f"s3://{BUCKET}/{folder}"
    one = driven(jobs.weigh, services=proxied)
    traffic.clear()  # the code's upload
    meta = one.create(
        file=FlyteFile(f"{at}/file.bin"),
        folder=FlyteDirectory(f"{at}/folder"),
        listed=[FlyteFile(f"{at}/listed/0"), FlyteFile(f"{at}/listed/1")],
    )
    resource = one.finish(meta)
    assert resource.phase == TaskExecution.SUCCEEDED, resource.message
    returned = resource.outputs.literals["o0"].scalar.blob.uri
    bucket, _, key = returned.removeprefix("s3://").partition("/")
    found = embedded.objects.head(bucket, key)
    assert found is not None
    assert found.size == 4 * LARGE
    assert traffic
    assert not [path for method, path, _ in traffic if method == "GET" and folder in path]
    assert not [path for method, path, _ in traffic if method == "GET" and key in path]
    assert sum(sent for _, _, sent in traffic) < LARGE / 10


def test_manifest_says_which_files_come(
    driven: Callable[..., Any], embedded: LocalSageMaker
) -> None:
    folder = f"many/{secrets.token_hex(4)}"
    for n in range(3):
        embedded.objects.put_bytes(BUCKET, f"{folder}/{n}", str(n).encode())
    one = driven(jobs.sum_files)
    meta = one.create(files=[FlyteFile(f"s3://{BUCKET}/{folder}/{n}") for n in (2, 0, 2)])
    assert one.value(one.finish(meta)) == 4
    description = one.described(meta)
    (source,) = [
        item["S3Input"] for item in description["ProcessingInputs"] if item["InputName"] == "files"
    ]
    assert source["S3DataType"] == "ManifestFile"
    bucket, _, key = source["S3Uri"].removeprefix("s3://").partition("/")
    _, file = embedded.objects.get(bucket, key)
    with file:
        assert json.load(file) == [{"prefix": f"s3://{BUCKET}/{folder}/"}, "0", "2"]


def test_several_files_in_a_streamed_channel_are_refused_before_anything_is_made(
    driven: Callable[..., Any], proxied: Services, traffic: list[tuple[str, str, int]]
) -> None:
    one = driven(jobs.streamed, services=proxied)
    traffic.clear()  # the code's upload
    with pytest.raises(PlanError, match=r"'files' holds 2 files.*mode 'FastFile'"):
        one.create(files=[FlyteFile(f"s3://{BUCKET}/{name}") for name in "ab"])
    made = [path for method, path, _ in traffic if method != "HEAD" and "runtime" not in path]
    assert len(made) == 1  # the request itself is kept
    assert "/requests/" in made[0]


def test_job_that_returns_the_wrong_type_names_output_type_and_value(driven: Any) -> None:
    one = driven(jobs.wrong)
    resource = one.finish(one.create(number=1))
    assert resource.phase == TaskExecution.FAILED
    wanted = "output \"ratios['one'][1]\": 'much' (str) does not fit float"
    assert wanted in resource.message
