"""Trainings on two hosts, several processes on each."""

from __future__ import annotations

from cdao_sdk import current_job, sagemaker_training_task


@sagemaker_training_task(
    framework="pytorch", instance_count=2, distribution="mpi", processes_per_host=2
)
def by_mpi() -> list[int]:
    """Returns the lead process's place."""
    job = current_job()
    return [job.global_rank, job.world_size, len(job.hosts)]


@sagemaker_training_task(framework="pytorch", instance_count=2, distribution="torchrun")
def by_torchrun() -> int:
    """Needs PyTorch."""
    return current_job().world_size
