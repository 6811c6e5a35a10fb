"""Training jobs: what they find, what is kept of them, and how they fail."""

from __future__ import annotations

import gzip
import json
import threading
import time
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .conftest import Laboratory

BUCKET = "bucket"


def channel(name: str, uri: str, **more: object) -> dict[str, object]:
    source = {"S3DataType": "S3Prefix", "S3Uri": uri, "S3DataDistributionType": "FullyReplicated"}
    for key in [key for key in more if key.startswith("S3")]:
        source[key] = str(more.pop(key))
    return {"ChannelName": name, "DataSource": {"S3DataSource": source}, **more}


def test_a_job_reads_its_channels_and_leaves_a_model(lab: Laboratory) -> None:
    uri = lab.put("data/train.csv", "1,2\n")
    code = (
        "import pathlib; root = pathlib.Path('/opt/ml');"
        "text = (root / 'input/data/train/train.csv').read_text();"
        "(root / 'model/model.txt').write_text(text.upper() + 'x');"
        "(root / 'output/data/report').mkdir();"
        "(root / 'output/data/report/a.txt').write_text('a'); print('done')"
    )
    outcome = lab.train(code, InputDataConfig=[channel("train", uri)])
    assert outcome.status == "Completed"
    assert outcome.model_artifact == "s3://bucket/out/job/output/model.tar.gz"
    assert lab.archive("out/job/output/model.tar.gz") == {"model.txt": b"1,2\nx"}
    assert lab.archive("out/job/output/output.tar.gz") == {"report/a.txt": b"a"}
    assert lab.reports == ["Starting", "Downloading", "Training", "Uploading"]
    assert lab.log.text() == "done\n"


def test_equal_models_give_equal_archives(lab: Laboratory) -> None:
    code = "open('/opt/ml/model/a','w').write('1'); open('/opt/ml/model/b','w').write('2')"
    lab.train(code)
    first = lab.get("out/job/output/model.tar.gz")
    time.sleep(1.1)
    lab.train(code)
    assert lab.get("out/job/output/model.tar.gz") == first


def test_without_compression_files_are_stored_singly(lab: Laboratory) -> None:
    outcome = lab.train(
        "import os; os.makedirs('/opt/ml/model/a'); open('/opt/ml/model/a/m','w').write('1');"
        "open('/opt/ml/output/data/r','w').write('2')",
        OutputDataConfig={"S3OutputPath": "s3://bucket/out/", "CompressionType": "NONE"},
    )
    assert outcome.model_artifact == "s3://bucket/out/job/output/model/"
    assert lab.keys() == ["out/job/output/data/r", "out/job/output/model/a/m"]


def test_empty_folders_are_not_uploaded(lab: Laboratory) -> None:
    outcome = lab.train("pass")
    assert (outcome.status, outcome.model_artifact, lab.keys()) == ("Completed", None, [])


def test_a_job_cannot_change_what_is_stored(lab: Laboratory) -> None:
    uri = lab.put("a.txt", "original")
    lab.train(
        "open('/opt/ml/input/data/c/a.txt', 'w').write('changed')",
        InputDataConfig=[channel("c", uri)],
    )
    assert lab.get("a.txt") == b"original"


@pytest.mark.parametrize(
    ("prefix", "expected"),
    [
        ("data/raw.csv", ["raw.csv", "raw.csv.bak"]),
        ("data/", ["deep/x.csv", "raw.csv", "raw.csv.bak"]),
        ("data", ["deep/x.csv", "raw.csv", "raw.csv.bak"]),
        ("data/de", ["deep/x.csv"]),
    ],
)
def test_s3_prefix_names_files(lab: Laboratory, prefix: str, expected: list[str]) -> None:
    for key in ("data/raw.csv", "data/raw.csv.bak", "data/deep/x.csv", "data/deep/"):
        lab.put(key, "x")
    lab.train(
        "import os, json; root='/opt/ml/input/data/c';"
        "print(json.dumps(sorted(os.path.relpath(os.path.join(d, f), root)"
        " for d, _, fs in os.walk(root) for f in fs)))",
        InputDataConfig=[channel("c", f"s3://{BUCKET}/{prefix}")],
    )
    assert json.loads(lab.log.text()) == expected


def test_manifest_gzip_and_sharding(lab: Laboratory) -> None:
    for number in range(4):
        lab.put(f"d/{number}.gz", gzip.compress(f"{number}".encode()))
    names = ["0.gz", "1.gz", "3.gz"]
    uri = lab.put("manifest.json", json.dumps([{"prefix": "s3://bucket/d/"}, *names]))
    given = channel(
        "c",
        uri,
        S3DataType="ManifestFile",
        S3DataDistributionType="ShardedByS3Key",
        CompressionType="Gzip",
        InputMode="FastFile",
    )
    outcome = lab.train(
        "import pathlib; d = pathlib.Path('/opt/ml/input/data/c');"
        "print([(p.name, p.read_text()) for p in sorted(d.iterdir())])",
        InputDataConfig=[given],
        ResourceConfig={"InstanceType": "ml.m5.large", "InstanceCount": 2, "VolumeSizeInGB": 1},
    )
    assert outcome.status == "Completed"
    assert lab.log.text("algo-1") == "[('0', '0'), ('3', '3')]\n"
    assert lab.log.text("algo-2") == "[('1', '1')]\n"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"S3DataType": "AugmentedManifestFile"}, "AugmentedManifestFile"),
        (
            {"S3Uri": "s3://bucket/nothing"},
            'No S3 objects found under S3 URL "s3://bucket/nothing"',
        ),
        ({"S3Uri": "s3://elsewhere/x"}, "NoSuchBucket"),
        ({"CompressionType": "Gzip"}, "gzip"),
    ],
)
def test_inputs_that_cannot_be_had_fail_the_job(
    lab: Laboratory, change: dict[str, str], words: str
) -> None:
    uri = lab.put("a", "plain")
    given = channel(
        "c", change.get("S3Uri", uri), **{k: v for k, v in change.items() if k != "S3Uri"}
    )
    outcome = lab.train("pass", InputDataConfig=[given])
    assert outcome.status == "Failed"
    assert str(outcome.failure_reason).startswith("ClientError: ")
    assert words in str(outcome.failure_reason)


def test_environment_is_sagemakers_and_nothing_leaks(
    lab: Laboratory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SESSION_TOKEN", "secret")
    monkeypatch.setenv("AWS_PROFILE", "prod")
    monkeypatch.setenv("CDAO_SAGEMAKER_ROLE", "secret")
    monkeypatch.setenv("DATABASE_PASSWORD", "secret")
    uri = lab.put("a", "x")
    lab.train(
        "import os, json, sys; print(json.dumps(dict(os.environ, exe=sys.executable)))",
        InputDataConfig=[channel("train", uri)],
        HyperParameters={"depth": "6", "name": "x"},
        Environment={"MINE": "1"},
    )
    seen = json.loads(lab.log.text())
    assert "secret" not in seen.values()
    assert "AWS_PROFILE" not in seen
    expected = {
        "MINE": "1",
        "AWS_ENDPOINT_URL": "http://127.0.0.1:4566",
        "AWS_REGION": "eu-west-1",
        "TRAINING_JOB_NAME": "job",
        "TRAINING_JOB_ARN": "arn:aws:sagemaker:eu-west-1:123456789012:training-job/job",
        "SM_CHANNEL_TRAIN": "/opt/ml/input/data/train",
        "SM_CHANNELS": '["train"]',
        "SM_MODEL_DIR": "/opt/ml/model",
        "SM_OUTPUT_DATA_DIR": "/opt/ml/output/data",
        "SM_HP_DEPTH": "6",
        "SM_HPS": '{"depth": 6, "name": "x"}',
        "SM_HOSTS": '["algo-1"]',
        "SM_CURRENT_HOST": "algo-1",
        "SM_NUM_GPUS": "0",
    }
    assert {name: seen.get(name) for name in expected} == expected
    assert json.loads(seen["SM_TRAINING_ENV"])["hyperparameters"] == {"depth": 6, "name": "x"}


def test_configuration_files(lab: Laboratory) -> None:
    uri = lab.put("a", "x")
    groups = [
        {"InstanceGroupName": "g", "InstanceType": "ml.m5.large", "InstanceCount": 1},
        {"InstanceGroupName": "h", "InstanceType": "ml.c5.large", "InstanceCount": 2},
    ]
    lab.train(
        "import json; d = '/opt/ml/input/config/';"
        "print(json.dumps([json.load(open(d + n + 'config.json'))"
        " for n in ('resource', 'inputdata')] + [json.load(open(d + 'hyperparameters.json'))]))",
        InputDataConfig=[channel("train", uri, ContentType="text/csv")],
        HyperParameters={"depth": "6"},
        ResourceConfig={"InstanceGroups": groups, "VolumeSizeInGB": 1},
    )
    resource, inputs, hyperparameters = json.loads(lab.log.text("algo-3"))
    assert resource["hosts"] == ["algo-1", "algo-2", "algo-3"]
    assert resource["current_host"] == "algo-3"
    assert resource["current_group_name"] == "h"
    assert resource["current_instance_type"] == "ml.c5.large"
    assert inputs["train"]["ContentType"] == "text/csv"
    assert hyperparameters == {"depth": "6"}


def test_hosts_leave_one_merged_model(lab: Laboratory) -> None:
    outcome = lab.train(
        "import os; h = os.environ['SM_CURRENT_HOST'];"
        "open(f'/opt/ml/model/{h}', 'w').write(h); open('/opt/ml/model/same', 'w').write(h)",
        ResourceConfig={"InstanceType": "ml.m5.large", "InstanceCount": 3, "VolumeSizeInGB": 1},
    )
    assert outcome.status == "Completed"
    files = lab.archive("out/job/output/model.tar.gz")
    assert files == {
        "algo-1": b"algo-1",
        "algo-2": b"algo-2",
        "algo-3": b"algo-3",
        "same": b"algo-1",
    }


def test_one_failed_host_ends_the_others(lab: Laboratory) -> None:
    started = time.monotonic()
    outcome = lab.train(
        "import os, time, sys\n"
        "if os.environ['SM_CURRENT_HOST'] == 'algo-2': sys.exit('broken')\n"
        "time.sleep(60)",
        ResourceConfig={"InstanceType": "ml.m5.large", "InstanceCount": 2, "VolumeSizeInGB": 1},
    )
    assert time.monotonic() - started < 10
    assert outcome.failure_reason == "AlgorithmError: broken, exit code: 1"


def test_failure_file_is_the_reason_and_output_data_is_kept(lab: Laboratory) -> None:
    outcome = lab.train(
        "open('/opt/ml/output/data/log','w').write('x'); open('/opt/ml/model/m','w').write('x');"
        "open('/opt/ml/output/failure','w').write('é' * 2000); raise SystemExit(3)"
    )
    assert outcome.status == "Failed"
    reason = str(outcome.failure_reason)
    assert reason.startswith("AlgorithmError: éé")
    assert reason.endswith("é, exit code: 3")
    assert len(reason) == 1024
    assert lab.keys() == ["out/job/output/output.tar.gz"]


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (
            ["python3", "-c", "raise ValueError('bad')"],
            "AlgorithmError: ValueError: bad, exit code: 1",
        ),
        (["false"], "AlgorithmError: , exit code: 1"),
        (["no-such-program"], "AlgorithmError: no-such-program: [Errno 2]"),
        (
            ["sh", "-c", "kill -9 $$"],
            "AlgorithmError: Please use an instance type with more memory",
        ),
        (["sh", "-c", "kill -11 $$"], "AlgorithmError: , exit code: 139"),
    ],
)
def test_reasons_of_failures(lab: Laboratory, command: list[str], reason: str) -> None:
    outcome = lab.train(command)
    assert outcome.status == "Failed"
    assert str(outcome.failure_reason).startswith(reason)


def test_a_failed_upload_fails_the_job_but_hides_no_other_failure(lab: Laboratory) -> None:
    nowhere = {"S3OutputPath": "s3://nowhere/out"}
    code = "open('/opt/ml/output/data/x', 'w').write('x');"
    outcome = lab.train(code, OutputDataConfig=nowhere)
    assert "Data upload failed: s3://nowhere/out" in str(outcome.failure_reason)
    outcome = lab.train(code + "raise ValueError('mine')", OutputDataConfig=nowhere)
    assert outcome.failure_reason == "AlgorithmError: ValueError: mine, exit code: 1"
    assert "Data upload failed" in lab.log.text()


def test_stop_leaves_time_for_a_checkpoint_and_keeps_the_model(lab: Laboratory) -> None:
    stop = threading.Event()
    timer = threading.Timer(0.5, stop.set)
    timer.start()
    script = (
        "echo 1 > /opt/ml/checkpoints/c; trap 'echo saved > /opt/ml/model/m; exit' TERM;"
        "sleep 60 & wait"
    )
    request = {
        "AlgorithmSpecification": {"ContainerEntrypoint": ["sh", "-c", script]},
        "CheckpointConfig": {"S3Uri": "s3://bucket/checkpoints"},
        "OutputDataConfig": {"S3OutputPath": "s3://bucket/out"},
        "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1},
    }
    outcome = lab.run("training", request, stop=stop)
    timer.join()
    assert outcome.status == "Stopped"
    assert lab.archive("out/job/output/model.tar.gz") == {"m": b"saved\n"}
    assert lab.get("checkpoints/c") == b"1\n"


def test_checkpoints_are_restored(lab: Laboratory) -> None:
    lab.put("ck/deep/epoch", "7")
    lab.train(
        "p = '/opt/ml/mine/deep/epoch'; n = int(open(p).read()); open(p, 'w').write(str(n + 1))",
        CheckpointConfig={"S3Uri": "s3://bucket/ck/", "LocalPath": "/opt/ml/mine"},
    )
    assert lab.get("ck/deep/epoch") == b"8"


def test_a_job_that_runs_too_long_is_stopped(lab: Laboratory) -> None:
    outcome = lab.train("import time; time.sleep(60)", StoppingCondition={"MaxRuntimeInSeconds": 1})
    assert (outcome.status, outcome.secondary_status) == ("Stopped", "MaxRuntimeExceeded")


def test_metrics_are_the_last_values_printed(lab: Laboratory) -> None:
    code = (
        "import sys; [print(f'loss={1/i} auc={i}') for i in range(1, 5)];"
        "print('loss=oops'); sys.stdout.write('end=7')"
    )
    specification = {
        "ContainerEntrypoint": ["python3", "-c", code],
        "MetricDefinitions": [
            {"Name": "loss", "Regex": r"loss=(\S+)"},
            {"Name": "auc", "Regex": r"auc=([0-9.]+)"},
            {"Name": "end", "Regex": r"^end=(\d)$"},
            {"Name": "none", "Regex": r"none=(\d)"},
        ],
    }
    outcome = lab.train("", AlgorithmSpecification=specification)
    assert outcome.metrics == {"loss": 0.25, "auc": 4.0, "end": 7.0}


def test_a_regex_that_is_none_fails_the_job(lab: Laboratory) -> None:
    specification = {
        "ContainerEntrypoint": ["true"],
        "MetricDefinitions": [{"Name": "loss", "Regex": "loss=("}],
    }
    outcome = lab.train("", AlgorithmSpecification=specification)
    assert "'loss'" in str(outcome.failure_reason)


def test_script_mode_runs_the_script_with_hyperparameters(lab: Laboratory) -> None:
    script = "import sys, os; print(sys.argv, os.getcwd(), os.environ['SM_USER_ENTRY_POINT'])"
    submit = lab.put_archive("code/sourcedir.tar.gz", {"train.py": script})
    hyperparameters = {
        "sagemaker_program": '"train.py"',
        "sagemaker_submit_directory": f'"{submit}"',
        "depth": "6",
        "e": '"x"',
    }
    outcome = lab.train(
        "",
        AlgorithmSpecification={"TrainingImage": "1.dkr.ecr.x/sagemaker-scikit-learn:1"},
        HyperParameters=hyperparameters,
    )
    assert outcome.status == "Completed"
    assert lab.log.text() == "['train.py', '--depth', '6', '-e', 'x'] /opt/ml/code train.py\n"


def test_an_image_without_entrypoint_says_what_to_do(lab: Laboratory) -> None:
    image = "123.dkr.ecr.eu-west-1.amazonaws.com/mine:1"
    outcome = lab.train("", AlgorithmSpecification={"TrainingImage": image})
    assert "no container for the image" in str(outcome.failure_reason)
    assert "ContainerEntrypoint" in str(outcome.failure_reason)


def test_links_out_of_the_job_are_neither_uploaded_nor_removed(
    lab: Laboratory, tmp_path_factory: pytest.TempPathFactory
) -> None:
    outside = tmp_path_factory.mktemp("outside")
    (outside / "keep").write_text("secret")
    lab.train(
        f"import os; os.symlink('{outside}', '/opt/ml/model/dir');"
        f"os.symlink('{outside}/keep', '/opt/ml/model/file');"
        "open('/opt/ml/model/real', 'w').write('x');"
        "os.symlink('/opt/ml/model/real', '/opt/ml/model/alias'); os.mkfifo('/opt/ml/model/pipe')"
    )
    assert lab.archive("out/job/output/model.tar.gz") == {"real": b"x", "alias": b"x"}
    assert (outside / "keep").read_text() == "secret"
    assert "dir is neither" in lab.log.text()


def test_locked_folders_are_removed(lab: Laboratory) -> None:
    outcome = lab.train(
        "import os; os.makedirs('/opt/ml/code/a/b'); os.chmod('/opt/ml/code/a/b', 0);"
        "os.chmod('/opt/ml/code/a', 0)"
    )
    assert outcome.status == "Completed"


def test_a_flood_of_output_is_cut_and_the_job_goes_on(lab: Laboratory) -> None:
    specification = {
        "ContainerEntrypoint": [
            "sh", "-c", "yes 0123456789012345678901234567890 | head -c 100000000; echo; echo auc=1",
        ],
        "MetricDefinitions": [{"Name": "auc", "Regex": r"auc=([0-9.]+)"}],
    }  # fmt: skip
    outcome = lab.train("", AlgorithmSpecification=specification)
    assert outcome.status == "Completed"
    assert outcome.metrics == {"auc": 1.0}
    logged = lab.log.text()
    assert logged.count("the rest of it is not logged") == 1
    assert 64 << 20 < len(logged) < (64 << 20) + 200
