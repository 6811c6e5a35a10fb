"""Reading and writing S3 objects."""

# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false
# (botocore ships no types)

from __future__ import annotations

import asyncio
import io
import json
import tarfile
from typing import TYPE_CHECKING, Protocol, cast

from cdao_sdk.aws.calls import AlreadyExists, call, unreachable
from cdao_sdk.errors import JobFailed, NotFound, SubmissionError

if TYPE_CHECKING:
    from cdao_sdk.aws.session import AwsClients

# A job's result is small: files are uploaded by SageMaker, and only named in it.
RESULT_LIMIT_BYTES = 16 * 1024 * 1024
ARCHIVE_READ_LIMIT_BYTES = 4 * 1024**3
_PIECE_BYTES = 1024**2


class _Body(Protocol):
    async def read(self, amount: int = ..., /) -> bytes: ...
    def close(self) -> None: ...


def split_s3_uri(uri: str) -> tuple[str, str]:
    """Bucket and key of ``s3://bucket/key``; the key may be empty.

    Raises:
        ValueError: Not such a URI.

    Example:
        >>> split_s3_uri("s3://bucket/a/b.csv")
        ('bucket', 'a/b.csv')
    """
    scheme, _, rest = uri.partition("://")
    bucket, _, key = rest.partition("/")
    if scheme != "s3" or not bucket:
        msg = f"{uri!r} is not of the form s3://bucket/key"
        raise ValueError(msg)
    return bucket, key


async def put(clients: AwsClients, uri: str, body: bytes) -> None:
    """Write an object."""
    bucket, key = split_s3_uri(uri)
    await call(clients, "s3", "PutObject", {"Bucket": bucket, "Key": key, "Body": body})


async def exists(clients: AwsClients, uri: str) -> bool:
    """Whether there is such an object."""
    bucket, key = split_s3_uri(uri)
    try:
        await call(clients, "s3", "HeadObject", {"Bucket": bucket, "Key": key})
    except NotFound:
        return False
    return True


async def copy(clients: AwsClients, source: str, target: str) -> None:
    """Copy an object within S3, its bytes unread here."""
    from_bucket, from_key = split_s3_uri(source)
    bucket, key = split_s3_uri(target)
    parameters = {
        "Bucket": bucket,
        "Key": key,
        "CopySource": {"Bucket": from_bucket, "Key": from_key},
    }
    await call(clients, "s3", "CopyObject", parameters)


async def list_names(clients: AwsClients, prefix: str) -> set[str]:
    """Names of the objects that lie directly below a prefix; the first thousand.

    Args:
        clients: Where to look.
        prefix: ``s3://bucket/folder/``, with its slash.
    """
    bucket, key = split_s3_uri(prefix)
    parameters = {"Bucket": bucket, "Prefix": key, "Delimiter": "/"}
    answer = await call(clients, "s3", "ListObjectsV2", parameters)
    found = cast("list[dict[str, str]]", answer.get("Contents", []))
    return {entry["Key"].removeprefix(key) for entry in found}


async def read_object(clients: AwsClients, uri: str, limit_bytes: int) -> bytes | None:
    """An object's bytes.

    Args:
        clients: Where to read.
        uri: Its URI.
        limit_bytes: More than that is not read.

    Returns:
        The bytes, or None where there is no such object.

    Raises:
        JobFailed: It is larger.
    """
    body = await _download(clients, uri)
    if body is None:
        return None
    try:
        content = await body.read(limit_bytes + 1)
    finally:
        body.close()
    if len(content) > limit_bytes:
        msg = f"{uri} is over {limit_bytes} bytes, which is more than is read of it."
        raise JobFailed(msg)
    return content


async def ensure_bucket(clients: AwsClients, bucket: str) -> None:
    """Make the bucket unless it is there and ours."""
    try:
        await call(clients, "s3", "HeadBucket", {"Bucket": bucket})
    except NotFound:
        parameters: dict[str, object] = {"Bucket": bucket}
        if clients.target.region != "us-east-1":
            parameters["CreateBucketConfiguration"] = {"LocationConstraint": clients.target.region}
        try:
            await call(clients, "s3", "CreateBucket", parameters)
        except AlreadyExists:
            return
        except SubmissionError as error:
            if error.code != "BucketAlreadyOwnedByYou":
                raise


async def read_result(clients: AwsClients, uri: str) -> dict[str, object] | None:
    """A job's ``outputs.json``: the object itself, or a member of an ``output.tar.gz``.

    Args:
        clients: Where to read.
        uri: ``…/outputs.json`` or ``…/output.tar.gz``.

    Returns:
        The document, or None where the job has left none.

    Raises:
        JobFailed: What is there cannot be read as a result.
    """
    body = await _download(clients, uri)
    if body is None:
        return None
    try:
        if uri.endswith(".tar.gz"):
            loop = asyncio.get_running_loop()
            content = await asyncio.to_thread(_member, uri, _BlockingReader(uri, body, loop))
        else:
            content = await body.read(RESULT_LIMIT_BYTES + 1)
    finally:
        body.close()
    return None if content is None else _parse(uri, content)


async def _download(clients: AwsClients, uri: str) -> _Download | None:
    bucket, key = split_s3_uri(uri)
    try:
        answer = await call(clients, "s3", "GetObject", {"Bucket": bucket, "Key": key})
    except NotFound:
        return None
    return _Download(clients, uri, cast("_Body", answer["Body"]))


class _Download:
    """A body that is read in full pieces, and whose connection fails with an error of ours."""

    def __init__(self, clients: AwsClients, uri: str, body: _Body) -> None:
        self._clients = clients
        self._uri = uri
        self._body = body

    async def read(self, size: int) -> bytes:
        """``size`` bytes; fewer at the end only, where the body itself gives what has come."""
        from aiohttp import ClientError
        from botocore.exceptions import BotoCoreError

        chunks: list[bytes] = []
        try:
            while size > 0 and (chunk := await self._body.read(size)):
                chunks.append(chunk)
                size -= len(chunk)
        except (BotoCoreError, ClientError, OSError) as error:
            raise unreachable(self._clients, f"GetObject {self._uri}", error) from error
        return b"".join(chunks)

    def close(self) -> None:
        self._body.close()


def _parse(uri: str, content: bytes) -> dict[str, object]:
    if len(content) > RESULT_LIMIT_BYTES:
        msg = f"The result {uri} is over {RESULT_LIMIT_BYTES} bytes; return large values as files."
        raise JobFailed(msg)
    try:
        document: object = json.loads(content)
    except (ValueError, RecursionError) as error:
        msg = f"The result {uri} is not JSON: {error}"
        raise JobFailed(msg) from error
    if not isinstance(document, dict):
        msg = f"The result {uri} is not a JSON object."
        raise JobFailed(msg)
    return cast("dict[str, object]", document)


class _BlockingReader(io.RawIOBase):
    """An asynchronous body as a file, for tarfile in a worker thread."""

    def __init__(self, uri: str, body: _Download, loop: asyncio.AbstractEventLoop) -> None:
        self._uri = uri
        self._body = body
        self._loop = loop
        self._left = ARCHIVE_READ_LIMIT_BYTES

    def read(self, size: int = -1, /) -> bytes:
        if self._left <= 0:
            msg = (
                f"{self._uri} has no outputs.json within its first {ARCHIVE_READ_LIMIT_BYTES}"
                " bytes; write large files to the model's directory instead."
            )
            raise JobFailed(msg)
        want = size if size >= 0 else self._left
        future = asyncio.run_coroutine_threadsafe(
            self._body.read(min(want, self._left)), self._loop
        )
        content = future.result()
        self._left -= len(content)
        return content


def _member(uri: str, stream: _BlockingReader) -> bytes | None:
    """``outputs.json`` out of a gzipped tar that is read once, nothing unpacked."""
    try:
        with tarfile.open(fileobj=stream, mode="r|gz", bufsize=_PIECE_BYTES) as archive:
            for member in archive:
                if member.name.removeprefix("./") == "outputs.json" and member.isfile():
                    extracted = archive.extractfile(member)
                    return extracted.read(RESULT_LIMIT_BYTES + 1) if extracted else None
    except (tarfile.TarError, OSError, EOFError) as error:
        msg = f"The job's {uri} cannot be read: {error}"
        raise JobFailed(msg) from error
    return None
