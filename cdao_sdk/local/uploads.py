"""Multipart uploads on disk, shared by several processes as the object store is.

<bucket>/uploads/<id>/upload.json   key and attributes of the object to be
<bucket>/uploads/<id>/<number>.json one record a part, put by atomic rename
<bucket>/uploads/<id>/<number>.<id> the part's bytes
"""

from __future__ import annotations

import hashlib
import json
import shutil
import time
import uuid
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from cdao_sdk.local.errors import S3Error
from cdao_sdk.local.objects import Attributes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from cdao_sdk.local.incoming import Incoming
    from cdao_sdk.local.objects import ObjectInfo, ObjectStore

MIN_PART_BYTES = 5 << 20


@dataclass(frozen=True, kw_only=True)
class Upload:
    """A multipart upload under way."""

    id: str
    key: str
    started: float
    attributes: Attributes
    folder: Path

    @property
    def started_at(self) -> datetime:
        """When it began."""
        return _moment(self.started)


@dataclass(frozen=True, kw_only=True)
class Part:
    """One part that has arrived whole."""

    number: int
    size: int
    etag: str
    data: str
    modified: float
    checksums: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def last_modified(self) -> datetime:
        """When the part had arrived."""
        return _moment(self.modified)


class Uploads:
    """The multipart uploads of an object store."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    def begin(self, bucket: str, key: str, attributes: Attributes) -> Upload:
        """Begin an upload of `key`."""
        upload_id = uuid.uuid4().hex
        folder = self._store.folder(bucket) / "uploads" / upload_id
        folder.mkdir()
        started = time.time()
        document = {"key": key, "started": started, "attributes": asdict(attributes)}
        _replace(folder, "upload.json", document)
        return Upload(id=upload_id, key=key, started=started, attributes=attributes, folder=folder)

    def find(self, bucket: str, key: str, upload_id: str) -> Upload:
        """The upload of this id.

        Raises:
            S3Error: NoSuchBucket, or NoSuchUpload when it is unknown, done or another key's.
        """
        upload = self._read(self._store.folder(bucket) / "uploads" / upload_id)
        if "/" in upload_id or upload is None or upload.key != key:
            raise S3Error(code="NoSuchUpload", UploadId=upload_id)
        return upload

    def list(self, bucket: str) -> list[Upload]:
        """The uploads under way in `bucket`, by key."""
        folders = (self._store.folder(bucket) / "uploads").iterdir()
        uploads = [upload for upload in map(self._read, folders) if upload]
        return sorted(uploads, key=lambda upload: (upload.key, upload.started))

    def keep(
        self, upload: Upload, number: int, incoming: Incoming, checksums: Mapping[str, str]
    ) -> Part:
        """Make received bytes the part `number`, in place of an earlier one."""
        incoming.close()
        part = Part(
            number=number,
            size=incoming.size,
            etag=incoming.md5.hex(),
            data=f"{number}.{uuid.uuid4().hex}",
            modified=time.time(),
            checksums=checksums,
        )
        try:
            incoming.path.rename(upload.folder / part.data)
            _replace(upload.folder, f"{number}.json", asdict(part))
        except FileNotFoundError as error:  # aborted or completed meanwhile
            incoming.path.unlink(missing_ok=True)
            raise S3Error(code="NoSuchUpload", UploadId=upload.id) from error
        return part

    def parts(self, upload: Upload) -> list[Part]:
        """The parts that have arrived, by number."""
        records = (path for path in upload.folder.glob("*.json") if path.name != "upload.json")
        parts = [Part(**json.loads(path.read_bytes())) for path in records]
        return sorted(parts, key=lambda part: part.number)

    def complete(
        self,
        bucket: str,
        upload: Upload,
        wanted: Sequence[tuple[int, str]],
        *,
        attributes: Attributes,
        only_if_absent: bool = False,
    ) -> ObjectInfo:
        """Make one object of the `wanted` parts, given as (number, etag).

        Raises:
            S3Error: as `chosen`; PreconditionFailed when `only_if_absent` and it is there.
        """
        parts = self.chosen(upload, wanted)
        incoming = self._store.incoming(bucket)
        try:
            for part in parts:
                incoming.append_file(upload.folder / part.data)
        except BaseException:
            incoming.discard()
            raise
        digests = b"".join(bytes.fromhex(part.etag) for part in parts)
        etag = f"{hashlib.md5(digests, usedforsecurity=False).hexdigest()}-{len(parts)}"
        info = self._store.commit(
            bucket,
            upload.key,
            incoming,
            attributes=attributes,
            etag=etag,
            only_if_absent=only_if_absent,
        )
        self.abort(upload)
        return info

    def chosen(self, upload: Upload, wanted: Sequence[tuple[int, str]]) -> Sequence[Part]:
        """The parts that a client names to make an object of, checked.

        Raises:
            S3Error: MalformedXML, InvalidPart, InvalidPartOrder or EntityTooSmall.
        """
        if not wanted:
            raise S3Error(code="MalformedXML")
        numbers = [number for number, _ in wanted]
        if sorted(set(numbers)) != numbers:
            raise S3Error(code="InvalidPartOrder", UploadId=upload.id)
        arrived = {(part.number, part.etag): part for part in self.parts(upload)}
        missing = [number for number, etag in wanted if (number, etag) not in arrived]
        if missing:
            raise S3Error(code="InvalidPart", UploadId=upload.id, PartNumber=str(missing[0]))
        parts = [arrived[one] for one in wanted]
        if any(part.size < MIN_PART_BYTES for part in parts[:-1]):
            raise S3Error(code="EntityTooSmall", UploadId=upload.id)
        return parts

    def abort(self, upload: Upload) -> None:
        """Forget an upload and its parts."""
        shutil.rmtree(upload.folder, ignore_errors=True)

    def _read(self, folder: Path) -> Upload | None:
        try:
            document = json.loads((folder / "upload.json").read_bytes())
        except FileNotFoundError:
            return None
        return Upload(
            id=folder.name,
            key=document["key"],
            started=document["started"],
            attributes=Attributes(**document["attributes"]),
            folder=folder,
        )


def _replace(folder: Path, name: str, document: Mapping[str, object]) -> None:
    draft = folder / f".{uuid.uuid4().hex}"
    draft.write_text(json.dumps(document), encoding="utf-8")
    draft.replace(folder / name)


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, timezone.utc)
