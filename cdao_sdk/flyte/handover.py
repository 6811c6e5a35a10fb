"""What Flyte finds in S3 when a job is done: its outputs and its deck.

Propeller 1.16.8 looks for a deck only where it reads the outputs from S3 too, so both are written.
"""

# flytekit and botocore ship no type information: what comes from them is unknown to the checker.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false

from __future__ import annotations

import datetime as dt
import logging
from typing import TYPE_CHECKING

from cdao_sdk.aws.storage import put
from cdao_sdk.errors import CdaoError, ResourcesUnavailable
from cdao_sdk.flyte.deck import job_deck
from cdao_sdk.flyte.deck_facts import facts_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from flytekit.models.literals import LiteralMap

    from cdao_sdk.aws.logs import LogLine
    from cdao_sdk.flyte.job_desk import JobDesk
    from cdao_sdk.flyte.job_meta import JobMeta
    from cdao_sdk.kinds.failures import Diagnosis
    from cdao_sdk.kinds.job import Observation

__all__ = ["Handover"]

logger = logging.getLogger(__name__)


class Handover:
    """Writes below a job's output prefix.

    Args:
        desk: Who looks after the job.
        meta: The job.
    """

    def __init__(self, desk: JobDesk, meta: JobMeta) -> None:
        self._desk = desk
        self._meta = meta

    async def outputs(self, outputs: LiteralMap | None) -> LiteralMap | None:
        """Write the outputs; those that cannot be written are given back, for Propeller to write.

        Raises:
            ResourcesUnavailable: S3 does not answer now.
        """
        if outputs is None:
            return None
        content = outputs.to_flyte_idl().SerializeToString(deterministic=True)
        return None if await self._write("outputs.pb", content) else outputs

    async def deck(
        self,
        description: Mapping[str, object],
        seen: Observation,
        tail: Sequence[LogLine] = (),
        diagnosis: Diagnosis | None = None,
        *,
        links: Sequence[tuple[str, str]] = (),
    ) -> None:
        """Write the job's deck.

        Raises:
            ResourcesUnavailable: S3 does not answer now.
        """
        facts = facts_of(
            self._desk.kind,
            description,
            seen,
            region=self._desk.services.clients.target.region,
            log_tail=[f"{line.host}| {line.text}" for line in tail],
            links=links,
            diagnosis=diagnosis,
            taken=dt.datetime.now(dt.timezone.utc),
            execution=self._meta.execution,
        )
        await self._write("deck.html", job_deck(facts).encode())

    async def _write(self, file: str, content: bytes) -> bool:
        uri = f"{self._meta.output_prefix.rstrip('/')}/{file}"
        try:
            await put(self._desk.services.clients, uri, content)
        except ResourcesUnavailable:
            raise
        except (CdaoError, ValueError) as error:  # such as a bucket that only Flyte may write to
            logger.warning("%s cannot be written: %s", uri, error)
            return False
        return True
