"""What is said of instances that are far too large, or starve their job."""

from __future__ import annotations

import pytest

from cdao_sdk.kinds.usage_hints import Usage, percent_of_instance, usage_hint

IDLE = {
    "CPUUtilization": Usage(mean=6, highest=20, minutes=30),
    "MemoryUtilization": Usage(mean=8, highest=10, minutes=30),
}


def test_an_instance_that_is_hardly_used_is_too_large() -> None:
    told = usage_hint(IDLE, "training", "ml.m5.4xlarge")
    assert told == (
        "Hardly used (CPU 6%, memory at most 10%): ml.m5.2xlarge (8 vCPUs, 32 GiB) may do."
    )


@pytest.mark.parametrize(("gpu", "words"), [(95, ""), (12, "Hardly used"), (2, "The GPUs")])
def test_one_whose_gpus_work_is_not_whatever_its_cpus_do(gpu: float, words: str) -> None:
    usages = {**IDLE, "GPUUtilization": Usage(mean=gpu, highest=gpu, minutes=30)}
    told = usage_hint(usages, "training", "ml.g5.12xlarge")
    assert told.startswith(words)
    assert bool(told) == bool(words)


def test_too_little_data_says_nothing() -> None:
    few = {name: Usage(usage.mean, usage.highest, 3) for name, usage in IDLE.items()}
    assert usage_hint(few, "training", "ml.m5.4xlarge") == ""
    assert usage_hint({}, "training", "ml.m5.4xlarge") == ""
    full = {"MemoryUtilization": Usage(mean=99, highest=99, minutes=0)}
    assert usage_hint(full, "training", "ml.m5.xlarge") == ""


def test_gpus_that_wait_for_the_cpus_are_told_of() -> None:
    usages = {
        "GPUUtilization": Usage(mean=30, highest=80, minutes=30),
        "CPUUtilization": Usage(mean=92, highest=99, minutes=30),
    }
    told = usage_hint(usages, "training", "ml.g5.xlarge")
    assert told.startswith("The GPUs waited (30%) while the CPUs were busy (92%)")
    assert "ml.g5.2xlarge" in told


def test_sums_over_cores_and_gpus_become_shares_of_the_instance() -> None:
    assert percent_of_instance("GPUUtilization", 380.0, "ml.g5.12xlarge") == 95.0
    assert percent_of_instance("GPUUtilization", 10.0, "ml.m5.xlarge") is None
    assert percent_of_instance("DiskUtilization", 41.0, "ml.unknown") == 41.0
