"""Records of jobs on disk, one folder a job.

`<root>/<kind>/<name>/record.json` is the truth. It is only ever replaced as a whole, by the server
that runs the job (or by any, once that server is gone); a file `stop` beside it is how another
server asks for the job's end.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import shutil
import time
import uuid
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from cdao_sdk.local.errors import AwsError
from cdao_sdk.local.jobs import Outcome
from cdao_sdk.local.transitions import TERMINAL, ended, status_of, stopping

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from cdao_sdk.local.job_kinds import JobKind
    from cdao_sdk.local.ownership import Ownership

_logger = logging.getLogger(__name__)

RECORD = "record.json"
_STOP = "stop"
_TAKEN = {errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR}  # the target of a rename is there
_ORPHANED = Outcome(
    status="Failed",
    failure_reason=(
        "InternalServerError: the local SageMaker that ran this job ended before it did"
    ),
)


@dataclass(frozen=True, kw_only=True)
class Record:
    """A job as it stands.

    Attributes:
        name: The job's name.
        region: The region that it was created in.
        owner: The server that runs it.
        request: The Create… request.
        describe: The answer to Describe…, times in seconds since 1970.
        pid: The server's process, for people who look into the file.
    """

    name: str
    region: str
    owner: str
    request: Mapping[str, Any]
    describe: Mapping[str, Any]
    pid: int = field(default_factory=os.getpid)


class Records:
    """The jobs of a state directory; safe for threads and for several servers at once."""

    def __init__(self, root: Path, ownership: Ownership) -> None:
        self.root = root
        self._ownership = ownership

    @property
    def server_id(self) -> str:
        """This server, as the owner of jobs."""
        return self._ownership.server_id

    def directory(self, kind: JobKind, name: str) -> Path:
        """The folder of a job."""
        return self.root / kind.kind / name

    def is_owner_alive(self, record: Record) -> bool:
        """Whether the server that runs the job is still there."""
        return self._ownership.is_alive(record.owner)

    def create(self, kind: JobKind, record: Record) -> None:
        """Write a new job's first record.

        Raises:
            AwsError: ResourceInUse when the name is taken.
        """
        folder = self.root / kind.kind
        draft = folder / f".{uuid.uuid4().hex}"
        draft.mkdir(parents=True)
        try:
            (draft / RECORD).write_bytes(_encoded(record))
            # A folder that is not empty is never replaced: this is the claim of the name.
            draft.rename(folder / record.name)
        except OSError as error:
            shutil.rmtree(draft)
            if error.errno not in _TAKEN:
                raise
            taken = record.describe[kind.arn_member]
            msg = (
                "Job name must be unique within an AWS account and region, and a "
                f"{kind.noun} with this name already exists ({taken})"
            )
            raise AwsError(code="ResourceInUse", message=msg) from error

    def save(self, kind: JobKind, record: Record) -> None:
        """Replace a job's record; the last one of a job is flushed to the disk."""
        path = self.directory(kind, record.name) / RECORD
        draft = path.with_name(f".{uuid.uuid4().hex}")
        try:
            with draft.open("wb") as file:
                file.write(_encoded(record))
                file.flush()
                draft.replace(path)
                if status_of(kind, record.describe) in TERMINAL:
                    os.fsync(file.fileno())
        except OSError:
            draft.unlink(missing_ok=True)
            raise

    def get(self, kind: JobKind, name: str) -> Record | None:
        """The job of this name, or None.

        A live job of a server that is gone becomes Failed here.
        """
        path = self.directory(kind, name) / RECORD
        try:
            record = Record(**json.loads(path.read_bytes()))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (ValueError, TypeError):
            # Only a power cut or a hand leaves such a file; the other jobs are to be seen still.
            _logger.warning("%s is no record of a job", path, exc_info=True)
            return None
        if status_of(kind, record.describe) in TERMINAL:
            return record
        if not self.is_owner_alive(record):
            record = replace(record, describe=ended(kind, record.describe, _ORPHANED, time.time()))
            self.save(kind, record)
        elif self.is_stop_requested(kind, name):
            record = replace(record, describe=stopping(kind, record.describe, time.time()))
        return record

    def request_stop(self, kind: JobKind, name: str) -> None:
        """Ask the server that runs the job for its end."""
        (self.directory(kind, name) / _STOP).touch()

    def is_stop_requested(self, kind: JobKind, name: str) -> bool:
        """Whether another server asked for the job's end."""
        return (self.directory(kind, name) / _STOP).exists()


def _encoded(record: Record) -> bytes:
    return json.dumps(vars(record), separators=(",", ":")).encode()
