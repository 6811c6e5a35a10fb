"""Objects on disk: buckets, keys and bytes under one folder that several processes share.

    <root>/<bucket>/bucket.json       region, creation time
    <root>/<bucket>/keys/<name>.json  one small record a key, put by atomic rename: the truth
    <root>/<bucket>/data/<id>         the bytes of one version of one object, never changed
    <root>/<bucket>/incoming/<id>     bytes and records on their way in
    <root>/<bucket>/uploads/<id>/     multipart uploads (see `uploads`)

`name` tells the key (see `key_names`): a listing filters names and reads only the records that it
answers with.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import threading
import time
import uuid
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, cast

from cdao_sdk.local.errors import NoSuchBucket, NoSuchKey, PreconditionFailed, S3Error
from cdao_sdk.local.incoming import Incoming, remove_leftovers
from cdao_sdk.local.key_names import escape, file_name, is_hashed, key_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path
    from typing import BinaryIO

MAX_KEY_BYTES = 1024
DEFAULT_CONTENT_TYPE = "binary/octet-stream"

_BUCKET_NAME = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")


@dataclass(frozen=True, kw_only=True)
class Attributes:
    """What a client sends along with an object's bytes, given back as it came."""

    content_type: str = DEFAULT_CONTENT_TYPE
    metadata: Mapping[str, str] = field(default_factory=dict[str, str])
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    checksums: Mapping[str, str] = field(default_factory=dict[str, str])
    tags: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, kw_only=True)
class ObjectInfo:
    """One object as it was when asked for; `path` are its bytes, never to be changed."""

    key: str
    size: int
    etag: str
    last_modified: datetime
    path: Path
    attributes: Attributes

    @property
    def content_type(self) -> str:
        """The object's media type."""
        return self.attributes.content_type

    @property
    def metadata(self) -> Mapping[str, str]:
        """The user's metadata, names without `x-amz-meta-`."""
        return self.attributes.metadata


@dataclass(frozen=True)
class Bucket:
    """A bucket: its name, region and birth."""

    name: str
    region: str
    created: datetime


class ObjectStore:
    """Buckets and objects under `root`; safe for threads and for several processes at once."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._replacing = threading.Lock()

    def remove_leftovers(self) -> int:
        """Remove bytes that were on their way in when a server was killed; returns how many."""
        return sum(remove_leftovers(path) for path in self.root.glob("*/incoming"))

    # Buckets

    def create_bucket(self, bucket: str, *, region: str = "us-east-1") -> Bucket:
        """Create a bucket.

        Raises:
            S3Error: InvalidBucketName, or BucketAlreadyOwnedByYou when it is there.
        """
        if not _BUCKET_NAME.fullmatch(bucket):
            raise S3Error(code="InvalidBucketName", BucketName=bucket)
        self.root.mkdir(parents=True, exist_ok=True)
        created = time.time()
        draft = self.root / f".{uuid.uuid4().hex}"
        for part in ("keys", "data", "incoming", "uploads"):
            (draft / part).mkdir(parents=True)
        _write(draft / "bucket.json", {"region": region, "created": created})
        try:
            # A folder that is not empty is never replaced: this is the claim of the name.
            draft.rename(self.root / bucket)
        except OSError as error:
            shutil.rmtree(draft)
            raise S3Error(code="BucketAlreadyOwnedByYou", BucketName=bucket) from error
        return Bucket(bucket, region, _moment(created))

    def buckets(self) -> list[Bucket]:
        """All buckets, sorted by name."""
        if not self.root.is_dir():
            return []
        found = (self.bucket(name) for name in sorted(_names(self.root)))
        return [bucket for bucket in found if bucket]

    def bucket(self, name: str) -> Bucket | None:
        """The bucket of this name, or None."""
        if not _BUCKET_NAME.fullmatch(name):
            return None
        try:
            document = _read(self.root / name / "bucket.json")
        except FileNotFoundError:
            return None
        return Bucket(name, document["region"], _moment(document["created"]))

    def folder(self, bucket: str) -> Path:
        """The folder of a bucket.

        Raises:
            NoSuchBucket: there is no such bucket.
        """
        folder = self.root / bucket
        if not _BUCKET_NAME.fullmatch(bucket) or not (folder / "keys").is_dir():
            raise NoSuchBucket(bucket)
        return folder

    def delete_bucket(self, bucket: str) -> None:
        """Delete an empty bucket.

        Raises:
            S3Error: NoSuchBucket, or BucketNotEmpty when objects are in it.
        """
        folder = self.folder(bucket)
        try:
            (folder / "keys").rmdir()
        except FileNotFoundError as error:
            raise NoSuchBucket(bucket) from error
        except OSError as error:
            raise S3Error(code="BucketNotEmpty", BucketName=bucket) from error
        grave = self.root / f".{uuid.uuid4().hex}"
        folder.rename(grave)
        shutil.rmtree(grave)

    # Reading

    def head(self, bucket: str, key: str) -> ObjectInfo | None:
        """The object under `key`, or None where the key or the bucket is missing."""
        if not _BUCKET_NAME.fullmatch(bucket):
            return None
        return next(self.infos(bucket, [key]), None)

    def get(self, bucket: str, key: str) -> tuple[ObjectInfo, BinaryIO]:
        """The object and its bytes, opened: safe against a write to the same key at the same time.

        Raises:
            S3Error: NoSuchBucket or NoSuchKey.
        """
        looked_at: ObjectInfo | None = None
        # Between record and bytes another writer may replace both: look again while they change.
        while (info := self.head(bucket, key)) != looked_at and info:
            with suppress(FileNotFoundError):
                return info, info.path.open("rb")
            looked_at = info
        self.folder(bucket)
        raise NoSuchKey(key)

    def keys(self, bucket: str, prefix: str = "") -> list[str]:
        """Keys that start with `prefix`, in S3's order (UTF-8 bytes).

        Raises:
            NoSuchBucket: there is no such bucket.
        """
        folder = self.folder(bucket) / "keys"
        try:
            names = _names(folder)
        except FileNotFoundError as error:
            raise NoSuchBucket(bucket) from error
        start = escape(prefix)
        keys = [key_of(name) for name in names if name.startswith(start) and not is_hashed(name)]
        for name in names:
            if is_hashed(name):
                info = _info(folder / name, folder.parent / "data")
                if info and info.key.startswith(prefix):
                    keys.append(info.key)
        # Code points sort as their UTF-8 bytes do.
        keys.sort()
        return keys

    def infos(self, bucket: str, keys: Iterable[str]) -> Iterator[ObjectInfo]:
        """The objects under `keys`, in that order, without those deleted meanwhile."""
        records, data = self.root / bucket / "keys", self.root / bucket / "data"
        for key in keys:
            info = _info(records / file_name(key), data)
            if info:
                yield info

    def list(self, bucket: str, prefix: str = "") -> list[ObjectInfo]:
        """Objects whose key starts with `prefix`, in S3's order.

        Raises:
            NoSuchBucket: there is no such bucket.
        """
        return [*self.infos(bucket, self.keys(bucket, prefix))]

    # Writing

    def incoming(self, bucket: str) -> Incoming:
        """A place for bytes that are to become an object of `bucket`.

        Raises:
            NoSuchBucket: there is no such bucket.
        """
        folder = self.folder(bucket)
        try:
            return Incoming(folder / "incoming" / uuid.uuid4().hex)
        except FileNotFoundError as error:
            raise NoSuchBucket(bucket) from error

    def commit(
        self,
        bucket: str,
        key: str,
        incoming: Incoming,
        *,
        attributes: Attributes | None = None,
        etag: str | None = None,
        only_if_absent: bool = False,
    ) -> ObjectInfo:
        """Make an object of received bytes, visible at once and whole.

        Raises:
            S3Error: KeyTooLongError; PreconditionFailed when `only_if_absent` and it is there.
        """
        incoming.close()
        try:
            return self._commit(
                bucket,
                key,
                incoming,
                attributes=attributes or Attributes(),
                etag=etag or incoming.md5.hex(),
                only_if_absent=only_if_absent,
            )
        finally:
            incoming.path.unlink(missing_ok=True)

    def put_file(
        self, bucket: str, key: str, source: Path, content_type: str | None = None
    ) -> ObjectInfo:
        """Store a copy of the file `source`; `source` is left alone.

        Raises:
            S3Error: NoSuchBucket or KeyTooLongError.
        """
        incoming = self.incoming(bucket)
        try:
            with source.open("rb") as file:
                incoming.write_from(file)
        except BaseException:
            incoming.discard()
            raise
        return self.commit(bucket, key, incoming, attributes=_typed(content_type))

    def put_bytes(
        self, bucket: str, key: str, body: bytes, content_type: str | None = None
    ) -> ObjectInfo:
        """Store `body`.

        Raises:
            S3Error: NoSuchBucket or KeyTooLongError.
        """
        incoming = self.incoming(bucket)
        incoming.write(body)
        return self.commit(bucket, key, incoming, attributes=_typed(content_type))

    def retag(self, bucket: str, key: str, tags: Mapping[str, str]) -> None:
        """Replace an object's tags; its bytes and time stay.

        Raises:
            S3Error: NoSuchBucket or NoSuchKey.
        """
        with self._replacing:
            info, file = self.get(bucket, key)
            with file:
                document = _document(info)
                document["attributes"] |= {"tags": dict(tags)}
                self._replace(bucket, self._record_path(bucket, key), document)

    def delete(self, bucket: str, key: str) -> bool:
        """Delete an object; False when there was none.

        Raises:
            NoSuchBucket: there is no such bucket.
        """
        info = self.head(bucket, key)
        if info is None:
            self.folder(bucket)
            return False
        self._record_path(bucket, key).unlink(missing_ok=True)
        info.path.unlink(missing_ok=True)
        return True

    def _commit(
        self,
        bucket: str,
        key: str,
        incoming: Incoming,
        *,
        attributes: Attributes,
        etag: str,
        only_if_absent: bool,
    ) -> ObjectInfo:
        if len(key.encode()) > MAX_KEY_BYTES:
            raise S3Error(code="KeyTooLongError")
        record = self._record_path(bucket, key)
        info = ObjectInfo(
            key=key,
            size=incoming.size,
            etag=etag,
            last_modified=_moment(int(time.time())),
            path=self.root / bucket / "data" / uuid.uuid4().hex,
            attributes=attributes,
        )
        incoming.path.rename(info.path)
        try:
            # One writer of this process at a time, so that each removes the bytes it replaced.
            with self._replacing:
                before = self.head(bucket, key)
                self._replace(bucket, record, _document(info), only_if_absent=only_if_absent)
        except (OSError, S3Error):
            info.path.unlink(missing_ok=True)
            raise
        if before:
            before.path.unlink(missing_ok=True)
        return info

    def _replace(
        self,
        bucket: str,
        record: Path,
        document: Mapping[str, object],
        *,
        only_if_absent: bool = False,
    ) -> None:
        draft = self.root / bucket / "incoming" / uuid.uuid4().hex
        try:
            _write(draft, document)
            if not only_if_absent:
                draft.replace(record)
                return
            record.hardlink_to(draft)
            draft.unlink()
        except FileExistsError as error:
            draft.unlink()
            raise PreconditionFailed(condition="If-None-Match") from error
        except FileNotFoundError as error:
            raise NoSuchBucket(bucket) from error

    def _record_path(self, bucket: str, key: str) -> Path:
        return self.root / bucket / "keys" / file_name(key)


def _info(record: Path, data: Path) -> ObjectInfo | None:
    try:
        document = _read(record)
    except FileNotFoundError:
        return None
    return ObjectInfo(
        key=document["key"],
        size=document["size"],
        etag=document["etag"],
        last_modified=_moment(document["last_modified"]),
        path=data / document["data"],
        attributes=Attributes(**document["attributes"]),
    )


def _document(info: ObjectInfo) -> dict[str, Any]:
    return {
        "key": info.key,
        "size": info.size,
        "etag": info.etag,
        "last_modified": info.last_modified.timestamp(),
        "data": info.path.name,
        "attributes": asdict(info.attributes),
    }


def _typed(content_type: str | None) -> Attributes:
    return Attributes(content_type=content_type) if content_type else Attributes()


def _names(folder: Path) -> list[str]:
    with os.scandir(folder) as entries:
        return [entry.name for entry in entries]


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, timezone.utc)


def _read(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        return cast("dict[str, Any]", json.loads(file.read()))


def _write(path: Path, document: Mapping[str, object]) -> None:
    path.write_text(json.dumps(document), encoding="utf-8")
