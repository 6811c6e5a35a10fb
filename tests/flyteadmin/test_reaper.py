"""Jobs of executions that FlyteAdmin knows to be over are stopped; no others."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import cluster_flows

import cdao_sdk
from cdao_sdk.aws.bridge import bridge
from cdao_sdk.settings import holder

if TYPE_CHECKING:
    from collections.abc import Callable

    from flyte_double import FlyteDouble


def test_lost_job_of_an_execution_that_is_over_is_stopped(
    cluster: FlyteDouble,
    start_processing: Callable[..., str],
    services: Any,
    boto: Any,
) -> None:
    from cdao_sdk.flyte.execution_end import execution_end
    from cdao_sdk.flyte.job_desk import JobDesk
    from cdao_sdk.flyte.reaper import Reaper
    from cdao_sdk.kinds.registry import kind

    going_on = cdao_sdk.run(cluster_flows.sleeping, inputs={"seconds": 60.0})
    over = cdao_sdk.run(cluster_flows.sleeping, inputs={"seconds": 60.0})
    over.cancel()
    ended, running = over.id, going_on.id
    names = {}
    for label, execution, project in (
        ("lost", ended, "flytesnacks"),
        ("busy", running, "flytesnacks"),
        ("local", "a0123456789abcdef012", "flytesnacks"),  # FlyteAdmin does not know it
        ("other", ended, ""),
    ):
        tags = {"cdao:execution": execution, "cdao:domain": "development", "cdao:project": project}
        given = {key: value for key, value in tags.items() if value}
        name = f"{execution}-{label}-abcdefgh-0"
        names[label] = start_processing(name, "import time; time.sleep(60)", tags=given)

    async def sweep() -> list[str]:
        desk = JobDesk(kind("processing"), replace(services))
        is_over = execution_end(holder.gather().settings)
        return await Reaper(lambda: [desk], is_over, unasked_seconds=-1).sweep()

    assert names["lost"] in (stopped := bridge.run(sweep()))
    assert not {names[label] for label in ("busy", "local", "other")} & set(stopped)
    client = boto("sagemaker")
    for label, name in names.items():
        described = client.describe_processing_job(ProcessingJobName=name)
        is_stopped = described["ProcessingJobStatus"] in ("Stopping", "Stopped")
        assert is_stopped == (label == "lost")
    going_on.cancel()
