"""Output: what a job left in its folders, as archives or single objects in S3."""

from __future__ import annotations

import contextlib
import gzip
import shutil
import stat
import tarfile
import zlib
from typing import TYPE_CHECKING, cast

from cdao_sdk.local.errors import AwsError
from cdao_sdk.local.execution.channels import split_uri
from cdao_sdk.local.execution.context import JobFailed
from cdao_sdk.local.execution.opt_ml import LITERAL

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping
    from pathlib import Path
    from typing import BinaryIO

    from cdao_sdk.local.execution.opt_ml import OptMl
    from cdao_sdk.local.objects import Incoming, ObjectStore

_EPOCH_1980 = 315532800  # the oldest time that zip files know; the same always, for equal archives
_COMPRESSION_LEVEL = 4  # a third of the time of tarfile's 9, a few per cent more bytes
_MAX_UNPACKED_BYTES = 100 << 30
_MAX_MEMBERS = 1_000_000


def collect(folder: Path, opt_ml: OptMl, note: Callable[[str], object]) -> dict[str, Path]:
    """The files below `folder`, by relative path; a link to a file of the same job counts as one.

    Args:
        folder: a folder of the job.
        opt_ml: the job's `/opt/ml`; what a link shows outside it is left out.
        note: takes a line on each thing that was left out.
    """
    found: dict[str, Path] = {}
    if folder.is_symlink():
        note(f"{folder.name} is a link; it is not uploaded")
        return found
    pending = [folder] if folder.is_dir() else []
    while pending:
        for path in sorted(pending.pop().iterdir()):
            relative = path.relative_to(folder).as_posix()
            real = _linked(path, opt_ml) if path.is_symlink() else path
            mode = real.lstat().st_mode if real is not None else 0
            if real is not None and stat.S_ISREG(mode):
                found[relative] = real
            elif real is path and stat.S_ISDIR(mode):
                pending.append(path)
            else:
                note(f"{relative} is neither a file nor a folder of this job; it is not uploaded")
    return found


@contextlib.contextmanager
def upload(objects: ObjectStore, uri: str) -> Generator[Incoming]:
    """Something to write an object's bytes to; it is stored when the block ends without an error.

    Raises:
        JobFailed: S3 refuses it.
    """
    bucket, key = split_uri(uri)
    with _refusals(uri):
        incoming = objects.incoming(bucket)
        try:
            yield incoming
        except BaseException:
            incoming.discard()
            raise
        objects.commit(bucket, key, incoming)


def upload_archive(objects: ObjectStore, uri: str, files: Mapping[str, Path]) -> None:
    """Store a ``.tar.gz`` of `files` that depends on nothing but their names, modes and bytes.

    Raises:
        JobFailed: S3 refuses it.
    """
    with upload(objects, uri) as incoming:
        _write_archive(incoming, files)


def unpack(objects: ObjectStore, uri: str, target: Path) -> None:
    """Unpack a ``.tar.gz`` that nobody vouches for into the folder `target`.

    Raises:
        JobFailed: it is missing or no such archive, a member would be put elsewhere or is no file
            or folder, or it holds more than fits.
    """
    target.mkdir(parents=True, exist_ok=True)
    room = min(_MAX_UNPACKED_BYTES, shutil.disk_usage(target).free * 9 // 10)
    try:
        _, packed = objects.get(*split_uri(uri))
        with packed, tarfile.open(fileobj=packed, mode="r:*") as tar:
            for count, member in enumerate(tar):
                room -= member.size
                if room < 0 or count > _MAX_MEMBERS:
                    msg = f"ClientError: {uri} holds more than can be unpacked here"
                    raise JobFailed(msg)
                tar.extract(member, target, filter="data")
    except AwsError as error:
        msg = f"ClientError: Data download failed: {uri}: {error}"
        raise JobFailed(msg) from error
    except (tarfile.TarError, zlib.error, EOFError, OSError) as error:
        msg = f"ClientError: {uri} cannot be unpacked as tar.gz: {error}"
        raise JobFailed(msg) from error


def upload_files(objects: ObjectStore, uri: str, files: Mapping[str, Path]) -> None:
    """Put each of `files` at its relative path below `uri`.

    Raises:
        JobFailed: S3 refuses one.
    """
    bucket, prefix = split_uri(f"{uri.rstrip('/')}/")
    with _refusals(uri):
        for name, path in sorted(files.items()):
            objects.put_file(bucket, prefix + name, path)


@contextlib.contextmanager
def _refusals(uri: str) -> Generator[None]:
    try:
        yield
    except AwsError as error:
        msg = f"ClientError: Data upload failed: {uri}: {error}"
        raise JobFailed(msg) from error


def _write_archive(target: Incoming, files: Mapping[str, Path]) -> None:
    raw = cast("BinaryIO", target)  # GzipFile needs of it no more than `write`
    with (
        gzip.GzipFile("", "wb", _COMPRESSION_LEVEL, raw, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar,
    ):
        for name, path in sorted(files.items()):
            member = tarfile.TarInfo(name)
            status = path.stat()
            member.size = status.st_size
            member.mode = stat.S_IMODE(status.st_mode)
            member.mtime = _EPOCH_1980
            with path.open("rb") as file:
                tar.addfile(member, file)


def _linked(link: Path, opt_ml: OptMl) -> Path | None:
    """Where a link of the job leads to, if that is inside the job's folder."""
    target = link.readlink()
    if target.is_relative_to(LITERAL):
        target = opt_ml.root / target.relative_to(LITERAL)
    try:
        real = (link.parent / target).resolve(strict=True)
    except (OSError, RuntimeError):  # leads nowhere, or in a circle
        return None
    return real if real.is_relative_to(opt_ml.root.resolve()) else None
