"""Several hosts of one job: their names, their shares of the data, their groups."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from .test_training import channel

if TYPE_CHECKING:
    import pytest

    from .conftest import Laboratory

TWO_HOSTS = {"InstanceType": "ml.m5.large", "InstanceCount": 2, "VolumeSizeInGB": 1}
TALK = """
import os, socket, time
here = os.environ["SM_CURRENT_HOST"]
if here == "algo-2":
    # Both hosts listen on the same port, as on machines of their own.
    with socket.create_server((here, 7777)) as server:
        connection, (peer, _) = server.accept()
        print("from", peer == socket.gethostbyname("algo-1"), connection.recv(100).decode())
else:
    with socket.create_server((here, 7777)):
        for _ in range(500):
            try:
                connection = socket.create_connection(
                    ("algo-2", 7777), source_address=(socket.gethostbyname(here), 0))
            except ConnectionRefusedError:
                time.sleep(0.02)
            else:
                connection.sendall(b"hello")
                break
"""
FILES = (
    "import json, os; root = '/opt/ml/input/data';"
    "print(json.dumps({c: sorted(os.listdir(f'{root}/{c}')) for c in sorted(os.listdir(root))}))"
)


def test_hosts_reach_each_other_by_name(lab: Laboratory) -> None:
    outcome = lab.train(TALK, ResourceConfig=TWO_HOSTS)
    assert outcome.status == "Completed", lab.log.text()
    assert lab.log.text("algo-2") == "from True hello\n"


def test_a_single_host_knows_its_own_name(lab: Laboratory) -> None:
    lab.train("import socket; print(socket.gethostbyname('algo-1').startswith('127.'))")
    assert lab.log.text() == "True\n"


def test_jobs_at_the_same_time_have_other_addresses(lab: Laboratory) -> None:
    code = "import socket; print(socket.gethostbyname('algo-1'))"
    request = {
        "AlgorithmSpecification": {"ContainerEntrypoint": ["python3", "-c", code]},
        "OutputDataConfig": {"S3OutputPath": "s3://bucket/out"},
        "ResourceConfig": TWO_HOSTS,
    }
    for name in ("first", "second"):
        lab.run("training", request, name=name)
    first, second = lab.log.text().split()
    assert first != second


def test_where_nothing_can_be_mounted_a_variable_names_the_hosts(
    lab: Laboratory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lab.processes, "sandbox_refusal", lambda: "no namespaces here")
    lab.train("import os; print(os.environ['CDAO_HOSTS'])", ResourceConfig=TWO_HOSTS)
    found = json.loads(lab.log.text().splitlines()[-1])
    assert list(found) == ["algo-1", "algo-2"]
    assert len(set(found.values())) == 2


def test_the_host_that_failed_first_is_the_reason(lab: Laboratory) -> None:
    outcome = lab.train(
        "import os, signal, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit('because of the other one'))\n"
        "if os.environ['SM_CURRENT_HOST'] == 'algo-2': time.sleep(0.3); sys.exit('the cause')\n"
        "time.sleep(60)",
        ResourceConfig=TWO_HOSTS,
    )
    assert outcome.failure_reason == "AlgorithmError: the cause, exit code: 1"


def test_channels_go_to_their_instance_groups(lab: Laboratory) -> None:
    for number in range(4):
        lab.put(f"d/{number}", "x")
    data, gpu = channel("data", "s3://bucket/d/"), channel("gpu", "s3://bucket/d/")
    shared = gpu["DataSource"]["S3DataSource"]  # type: ignore[index]
    shared.update(InstanceGroupNames=["gpus"], S3DataDistributionType="ShardedByS3Key")
    groups = [
        {"InstanceGroupName": "cpus", "InstanceType": "ml.c5.large", "InstanceCount": 1},
        {"InstanceGroupName": "gpus", "InstanceType": "ml.g5.xlarge", "InstanceCount": 2},
    ]
    outcome = lab.train(
        FILES,
        InputDataConfig=[data, gpu],
        ResourceConfig={"InstanceGroups": groups, "VolumeSizeInGB": 1},
    )
    assert outcome.status == "Completed"
    everything = ["0", "1", "2", "3"]
    found = [json.loads(lab.log.text(f"algo-{number}")) for number in (1, 2, 3)]
    assert found == [
        {"data": everything},
        {"data": everything, "gpu": ["0", "2"]},
        {"data": everything, "gpu": ["1", "3"]},
    ]


def test_shuffled_shares_depend_on_the_seed_alone(lab: Laboratory) -> None:
    for number in range(20):
        lab.put(f"d/{number:02}", "x")

    def shares(seed: int) -> list[list[str]]:
        given = channel(
            "c",
            "s3://bucket/d/",
            S3DataDistributionType="ShardedByS3Key",
            ShuffleConfig={"Seed": seed},
        )
        lab.log.streams.clear()
        lab.train(FILES, InputDataConfig=[given], ResourceConfig=TWO_HOSTS)
        return [json.loads(lab.log.text(f"algo-{number}"))["c"] for number in (1, 2)]

    first = shares(1)
    assert first == shares(1) != shares(2)
    assert sorted(first[0] + first[1]) == [f"{number:02}" for number in range(20)]


def test_processing_hosts_share_the_objects(lab: Laboratory) -> None:
    for number in range(3):
        lab.put(f"d/{number}", "x")
    source = {
        "S3Uri": "s3://bucket/d/",
        "LocalPath": "/opt/ml/processing/in",
        "S3DataType": "S3Prefix",
        "S3InputMode": "File",
        "S3DataDistributionType": "ShardedByS3Key",
    }
    code = "import os; print(sorted(os.listdir('/opt/ml/processing/in')))"
    outcome = lab.run(
        "processing",
        {
            "AppSpecification": {"ImageUri": "any", "ContainerEntrypoint": ["python3", "-c", code]},
            "ProcessingResources": {"ClusterConfig": {"InstanceCount": 2}},
            "ProcessingInputs": [{"InputName": "in", "S3Input": source}],
        },
    )
    assert outcome.status == "Completed"
    assert [lab.log.text(f"algo-{n}") for n in (1, 2)] == ["['0', '2']\n", "['1']\n"]
