"""Trainings that go on where an earlier attempt was ended."""

from __future__ import annotations

import os
import time

from flytekit import current_context
from flytekit.exceptions.user import FlyteRecoverableException

from cdao_sdk import current_job, sagemaker_training_task


@sagemaker_training_task(framework="pytorch", retries=1)
def by_retry(steps: int) -> list[int]:
    """Fails in its third step at first; returns where it began, and how many steps it made."""
    begun = step = int(current_context().checkpoint.read() or b"0")
    while step < steps:
        if step == 3 and current_job().attempt == 0:
            msg = "the third step failed"
            raise FlyteRecoverableException(msg)
        step += 1
        current_context().checkpoint.write(str(step).encode())
    return [begun, step]


@sagemaker_training_task(framework="pytorch", use_spot_instances=True)
def on_spot(steps: int) -> list[int]:
    """Waits after its third step until it is asked to stop; saves then, and goes on elsewhere."""
    job = current_job()
    path = os.path.join(job.checkpoint_dir, "step")
    begun = step = 0
    if os.path.exists(path):
        with open(path) as file:
            begun = step = int(file.read())
    while step < steps and not job.should_stop:
        if step == 3 and begun == 0:
            time.sleep(0.02)
            continue
        step += 1
        print("step", step, flush=True)
    with open(path, "w") as file:
        file.write(str(step))
    return [begun, step]
