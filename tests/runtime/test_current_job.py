"""`cdao_sdk.current_job()`: directories, hosts, hyperparameters, metrics."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Container

LOOK = """
    import os
    import cdao_sdk
    JOB = cdao_sdk.current_job()

    def step() -> dict:
        job = cdao_sdk.current_job()
        assert job is JOB
        found = {name: getattr(job, name) for name in (
            "name kind execution node attempt current_host rank is_lead instance_type".split())}
        found.update(
            hosts=list(job.hosts), inputs=dict(job.inputs), train=job.inputs.get("train"),
            hyperparameters=dict(job.hyperparameters),
            cpus=job.num_cpus == len(os.sched_getaffinity(0)), gpus=job.num_gpus >= 0,
        )
        return found
"""


def test_one_host(container: Container) -> None:
    container.write("input/data/train/x.csv", "")
    container.write("input/config/hyperparameters.json", '{"max_depth": "9"}')
    done = container.run(LOOK, hyperparameters={"max_depth": "6", "eta": "0.3"})
    train = str(container.root / "input/data/train")
    assert done.value == {
        "name": "job-1",
        "kind": "training",
        "execution": "exec-1",
        "node": "n0",
        "attempt": 0,
        "current_host": "algo-1",
        "rank": 0,
        "is_lead": True,
        "instance_type": "",
        "hosts": ["algo-1"],
        "inputs": {"train": train},
        "train": train,
        "hyperparameters": {"max_depth": "9", "eta": "0.3"},
        "cpus": True,
        "gpus": True,
    }


@pytest.mark.parametrize("place", ["input/config", "config"])
def test_every_host_runs_the_body_and_only_the_lead_writes(
    container: Container, place: str
) -> None:
    hosts = ["algo-10", "algo-2", "algo-1"]
    container.hosts("algo-10", *hosts, place=place)
    code = """
        import cdao_sdk
        def step() -> list:
            job = cdao_sdk.current_job()
            print("host", job.current_host, job.rank, job.is_lead, *job.hosts)
            return None if job.rank else [job.rank]
    """
    done = container.run(code)
    assert done.code == 0, done.stderr
    assert "host algo-10 2 False algo-1 algo-2 algo-10" in done.stdout
    assert not (done.result_dir / "outputs.json").exists()
    container.hosts("algo-1", *hosts, place=place)
    assert container.run(code).value == [0]


def test_of_a_launchers_processes_the_first_is_the_lead(library_container: Container) -> None:
    library_container.env = {"RANK": "1", "WORLD_SIZE": "2"}
    done = library_container.run("def step() -> int: return 1")
    assert done.code == 0
    assert list(done.result_dir.iterdir()) == []
    library_container.env = {"RANK": "0", "WORLD_SIZE": "2"}
    assert library_container.run("def step() -> int: return 1").value == 1


def test_toolkit_variables_are_set(container: Container) -> None:
    container.write("input/data/train-set/x.csv", "")
    container.hosts("algo-1", "algo-1", "algo-2")
    container.env = {"SM_NUM_GPUS": "8"}
    done = container.run(
        """
        import os
        def step() -> dict:
            return {key: value for key, value in os.environ.items()
                    if key.startswith(("SM_", "NCCL", "GLOO"))}
    """,
        hyperparameters={"max-depth": "6"},
    )
    root = container.root
    expected = {
        "SM_MODEL_DIR": str(root / "model"),
        "SM_OUTPUT_DATA_DIR": str(root / "output/data"),
        "SM_CHANNELS": '["train-set"]',
        "SM_CHANNEL_TRAIN_SET": str(root / "input/data/train-set"),
        "SM_HOSTS": '["algo-1", "algo-2"]',
        "SM_CURRENT_HOST": "algo-1",
        "SM_HP_MAX_DEPTH": "6",
        "SM_HPS": '{"max-depth": "6"}',
        "SM_NUM_GPUS": "8",
        "SM_NUM_CPUS": str(len(os.sched_getaffinity(0))),
        "NCCL_SOCKET_IFNAME": "eth0",
        "GLOO_SOCKET_IFNAME": "eth0",
    }
    # A model directory comes back as the place that it is, hence `map`.
    found = done.outputs["o0"]["map"]
    assert {key: found[key].get("value", found[key]) for key in expected} == {
        **expected,
        "SM_MODEL_DIR": {"model": ""},
        "SM_OUTPUT_DATA_DIR": {"path": ""},
    }


def test_it_is_read_only(container: Container) -> None:
    done = container.run("""
        import cdao_sdk

        def step() -> list:
            job = cdao_sdk.current_job()
            found = []
            for change in (
                lambda: setattr(job, "rank", 3), lambda: delattr(job, "rank"),
                lambda: job.inputs.update(a="b"), lambda: job.hyperparameters.clear(),
                lambda: job.input_dir("gone"), lambda: job.log_metric("", 1),
                lambda: job.log_metric("a\\nb", 1), lambda: job.log_metric("a", "x"),
            ):
                try:
                    change()
                except (AttributeError, KeyError, ValueError) as error:
                    found.append(type(error).__name__)
            return found
    """)
    assert done.value == ["AttributeError"] * 4 + ["KeyError"] + ["ValueError"] * 3


def test_metric_lines_of_many_processes_stay_whole(container: Container) -> None:
    done = container.run("""
        import multiprocessing
        import cdao_sdk

        def work(rank):
            for step in range(200):
                cdao_sdk.current_job().log_metric("loss", rank, step=step)

        def step() -> int:
            with multiprocessing.get_context("fork").Pool(3) as pool:
                pool.map(work, [1, 2, 3])
            return 1
    """)
    lines = done.stdout.splitlines()
    expected = [f"[cdao:metric] loss={r}.0 step={s}" for r in (1, 2, 3) for s in range(200)]
    assert sorted(lines) == sorted(expected)


def test_print_is_seen_while_the_job_runs_on_newer_pythons(container: Container) -> None:
    container.needs("3.7")
    done = container.run("""
        import os
        def step() -> int:
            print("first")
            os.write(1, b"second\\n")
            return 1
    """)
    assert done.stdout.splitlines() == ["first", "second"]


def test_a_broken_resource_description_is_one_host(library_container: Container) -> None:
    for text in ("{", "[]", json.dumps({"hosts": None})):
        library_container.write("input/config/resourceconfig.json", text)
        assert library_container.run(LOOK).value["hosts"] == ["algo-1"]
