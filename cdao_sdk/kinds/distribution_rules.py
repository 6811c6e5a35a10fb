"""Which options go with a training task's ``distribution``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cdao_sdk.kinds.problem import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cdao_sdk.kinds.training_spec import TrainingSpec

# sagemaker-python-sdk 2.257, fw_utils.py: SM_DATAPARALLEL_SUPPORTED_INSTANCE_TYPES.
_SMDDP_INSTANCE_TYPES = (
    "ml.p3.16xlarge",
    "ml.p3dn.24xlarge",
    "ml.p4d.24xlarge",
    "ml.p4de.24xlarge",
)
_SMDDP_FRAMEWORKS = ("pytorch", "tensorflow")


def distribution_problems(spec: TrainingSpec) -> Iterator[Problem]:
    """What is wrong with the options that start a job's processes."""
    kind = spec.distribution
    if kind is None:
        if spec.processes_per_host is not None:
            text = (
                f"processes_per_host={spec.processes_per_host} needs a distribution: "
                "'torchrun' or 'mpi'"
            )
            yield Problem(("processes_per_host", "distribution"), text)
        return
    if spec.algorithm:
        text = (
            f"distribution={kind!r} starts the task's function, and the built-in algorithm "
            f"{spec.algorithm!r} runs none; leave it out"
        )
        yield Problem(("distribution", "algorithm"), text)
    if spec.runtime == "flytekit":
        text = f"distribution={kind!r} needs runtime='script', which starts the processes"
        yield Problem(("distribution", "runtime"), text)
    if kind == "smddp":
        yield from _smddp_problems(spec)


def _smddp_problems(spec: TrainingSpec) -> Iterator[Problem]:
    fields = ("distribution", "instance_type", "instance_groups")
    for name in sorted({name for name, _ in spec.hosts} - set(_SMDDP_INSTANCE_TYPES)):
        text = (
            f"distribution='smddp' does not run on {name}; SageMaker offers it on "
            f"{', '.join(_SMDDP_INSTANCE_TYPES)}. Elsewhere use distribution='torchrun'"
        )
        yield Problem(fields, text)
    if spec.framework is not None and spec.framework not in _SMDDP_FRAMEWORKS:
        text = (
            f"distribution='smddp' is for {' and '.join(_SMDDP_FRAMEWORKS)}, "
            f"not for framework={spec.framework!r}"
        )
        yield Problem(("distribution", "framework"), text)
    if spec.processes_per_host is not None:
        text = (
            f"processes_per_host={spec.processes_per_host}: distribution='smddp' always starts "
            "one process for each GPU; leave it out"
        )
        yield Problem(("distribution", "processes_per_host"), text)
