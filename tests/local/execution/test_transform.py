"""Batch transform: how models are served, and how records go in and out."""

from __future__ import annotations

import gzip
import json
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from cdao_sdk.local.jobs import Outcome

    from .conftest import Laboratory

SUM = """
import os
def model_fn(model_dir):
    return open(os.path.join(model_dir, "bias.txt")).read()
def input_fn(body, content_type):
    print("request of", body.count("\\n"), content_type)
    return [[float(x) for x in line.split(",")] for line in body.splitlines()]
def predict_fn(rows, bias):
    return [sum(row) + float(bias) for row in rows]
def output_fn(prediction, accept):
    return "\\n".join(map(str, prediction)), accept
"""
ECHO = "def model_fn(d): return 1\ndef transform_fn(model, data, content_type, accept): return data"


def transform(lab: Laboratory, model: dict[str, object], **more: object) -> Outcome:
    source: dict[str, object] = {
        "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://bucket/in/"}},
        "ContentType": "text/csv",
        "SplitType": "Line",
    }
    source |= more.pop("TransformInput", {})  # type: ignore[arg-type]
    target: dict[str, object] = {"S3OutputPath": "s3://bucket/out", "AssembleWith": "Line"}
    target |= more.pop("TransformOutput", {})  # type: ignore[arg-type]
    stop = more.pop("stop", None)
    assert stop is None or isinstance(stop, threading.Event)
    request = {
        "TransformJobName": "job",
        "Model": {"ModelName": "m", "PrimaryContainer": model},
        "TransformInput": source,
        "TransformOutput": target,
        "TransformResources": {"InstanceCount": 1, "InstanceType": "ml.m5.large"},
        **more,
    }
    return lab.run("transform", request, stop=stop)


def scripted(lab: Laboratory, code: str, **environment: str) -> dict[str, object]:
    files = {"code/inference.py": code, "bias.txt": "100"}
    url = lab.put_archive("model.tar.gz", files)
    return {"Image": "any", "ModelDataUrl": url, "Environment": environment}


def test_records_are_scored_in_order(lab: Laboratory) -> None:
    lab.put("in/a.csv", "1,2\n3,4\n\n5,6")
    lab.put("in/deep/b.csv", "7,8\n")
    outcome = transform(lab, scripted(lab, SUM))
    assert outcome.status == "Completed", lab.log.text()
    assert lab.get("out/a.csv.out") == b"103.0\n107.0\n111.0\n"
    assert lab.get("out/deep/b.csv.out") == b"115.0\n"
    assert "request of 3 text/csv" in lab.log.text()


def test_single_record_sends_each_by_itself(lab: Laboratory) -> None:
    lab.put("in/a.csv", "".join(f"{number},1\n" for number in range(20)))
    outcome = transform(
        lab, scripted(lab, SUM), BatchStrategy="SingleRecord", MaxConcurrentTransforms=4
    )
    assert outcome.status == "Completed"
    assert lab.log.text().count("request of") == 20
    expected = "".join(f"{number + 101}.0\n" for number in range(20))
    assert lab.get("out/a.csv.out").decode() == expected


def test_multi_record_fills_payloads(lab: Laboratory) -> None:
    line = "1," + "0" * 398 + "\n"
    lab.put("in/a.csv", line * 6000)
    outcome = transform(lab, scripted(lab, SUM), MaxPayloadInMB=1, MaxConcurrentTransforms=2)
    assert outcome.status == "Completed"
    assert lab.log.text().count("request of") == 3
    assert lab.get("out/a.csv.out") == b"101.0\n" * 6000


def test_concurrent_requests_run_at_the_same_time(lab: Laboratory) -> None:
    slow = ECHO.replace("return data", "import time; time.sleep(0.5); return data")
    lab.put("in/a.csv", "1\n2\n3\n4\n")
    started = time.monotonic()
    model = scripted(lab, slow)
    transform(lab, model, BatchStrategy="SingleRecord", MaxConcurrentTransforms=4)
    assert time.monotonic() - started < 1.5
    assert lab.get("out/a.csv.out") == b"1\n2\n3\n4\n"


def test_objects_are_transformed_at_the_same_time(lab: Laboratory) -> None:
    slow = ECHO.replace("return data", "import time; time.sleep(0.5); return data")
    for number in range(6):
        lab.put(f"in/{number}", f"{number}\n")
    started = time.monotonic()
    outcome = transform(lab, scripted(lab, slow), MaxConcurrentTransforms=3)
    assert outcome.status == "Completed"
    assert time.monotonic() - started < 2
    assert [lab.get(f"out/{number}.out") for number in range(6)] == [
        f"{number}\n".encode() for number in range(6)
    ]


def test_a_failed_record_does_not_wait_for_slow_ones(lab: Laboratory) -> None:
    code = ECHO.replace("return data", "import time; x = int(data); time.sleep(x); return data")
    lab.put("in/a", "60\n60\nx\n60\n")
    started = time.monotonic()
    model = scripted(lab, code)
    outcome = transform(lab, model, BatchStrategy="SingleRecord", MaxConcurrentTransforms=3)
    assert "invalid literal" in str(outcome.failure_reason)
    assert time.monotonic() - started < 10


def test_a_handler_that_exits_is_an_error_too(lab: Laboratory) -> None:
    lab.put("in/a", "1\n")
    outcome = transform(lab, scripted(lab, ECHO.replace("return data", "raise SystemExit('no')")))
    assert "SystemExit: no" in str(outcome.failure_reason)


def test_whole_objects_gzip_and_manifest(lab: Laboratory) -> None:
    lab.put("in/a.gz", gzip.compress(b"\x00binary\n"))
    lab.put("in/unwanted.gz", b"x")
    manifest = lab.put("manifest", json.dumps([{"prefix": "s3://bucket/in/"}, "a.gz"]))
    source = {"S3DataType": "ManifestFile", "S3Uri": manifest}
    outcome = transform(
        lab,
        scripted(lab, ECHO),
        TransformInput={
            "DataSource": {"S3DataSource": source},
            "ContentType": "application/octet-stream",
            "SplitType": "None",
            "CompressionType": "Gzip",
        },
        TransformOutput={"AssembleWith": "None"},
    )
    assert outcome.status == "Completed"
    assert lab.keys("out") == ["out/a.gz.out"]
    assert lab.get("out/a.gz.out") == b"\x00binary\n"


def test_environment_reaches_the_model(lab: Laboratory) -> None:
    code = "import os\ndef model_fn(d): return d\ndef transform_fn(m, data, c, a):\n    return "
    names = ("MINE", "THEIRS", "SAGEMAKER_BATCH", "SM_MODEL_DIR", "AWS_ENDPOINT_URL")
    code += "','.join(os.environ[n] for n in " + repr(names) + ") + m"
    lab.put("in/a", "x")
    transform(lab, scripted(lab, code, MINE="1"), Environment={"THEIRS": "2"})
    expected = "1,2,true,/opt/ml/model,http://127.0.0.1:4566/opt/ml/model\n"
    assert lab.get("out/a.out").decode() == expected


def test_default_handlers_are_the_toolkits(lab: Laboratory) -> None:
    code = "class M:\n    def predict(self, x): return x.sum(axis=1)\ndef model_fn(d): return M()\n"
    lab.put("in/a.csv", "1,2\n3,4\n")
    model = scripted(lab, code)
    transform(lab, model, TransformOutput={"Accept": "text/csv"})
    assert lab.get("out/a.csv.out") == b"3.0\n7.0\n"
    transform(lab, model)
    assert lab.get("out/a.csv.out") == b"[3.0, 7.0]\n"


def test_another_program_and_code_in_s3(lab: Laboratory) -> None:
    submit = lab.put_archive("code.tar.gz", {"serve.py": "from more import *", "more.py": ECHO})
    lab.put("in/a", "x\n")
    environment = {"SAGEMAKER_PROGRAM": "serve.py", "SAGEMAKER_SUBMIT_DIRECTORY": submit}
    outcome = transform(lab, {"Image": "sagemaker-scikit-learn:1", "Environment": environment})
    assert outcome.status == "Completed", lab.log.text()


def test_model_files_that_are_not_packed(lab: Laboratory) -> None:
    lab.put("m/code/inference.py", SUM)
    lab.put("m/bias.txt", "1")
    lab.put("in/a", "1\n")
    source = {"S3Uri": "s3://bucket/m/", "S3DataType": "S3Prefix", "CompressionType": "None"}
    outcome = transform(lab, {"Image": "x", "ModelDataSource": {"S3DataSource": source}})
    assert outcome.status == "Completed"
    assert lab.get("out/a.out") == b"2.0\n"


@pytest.mark.parametrize(
    ("processing", "expected"),
    [
        ({"InputFilter": "$[1:]"}, "105.0\n109.0\n"),
        ({"InputFilter": "$[1:]", "JoinSource": "Input"}, "7,2,3,105.0\n8,4,5,109.0\n"),
        (
            {"InputFilter": "$[1:]", "JoinSource": "Input", "OutputFilter": "$[0,-1]"},
            "7,105.0\n8,109.0\n",
        ),
        ({"InputFilter": "$[-1]", "JoinSource": "None", "OutputFilter": "$[0]"}, "103.0\n105.0\n"),
    ],
)
def test_csv_filters_and_join(lab: Laboratory, processing: dict[str, str], expected: str) -> None:
    lab.put("in/a.csv", "7,2,3\n8,4,5\n")
    outcome = transform(lab, scripted(lab, SUM), DataProcessing=processing)
    assert outcome.status == "Completed", outcome
    assert lab.get("out/a.csv.out").decode() == expected


def test_json_lines_filters_and_join(lab: Laboratory) -> None:
    lab.put("in/a.jsonl", '{"id": 1, "x": [1, 2]}\n{"id": 2, "x": [3]}\n')
    processing = {
        "InputFilter": "$.x",
        "JoinSource": "Input",
        "OutputFilter": "$['id','SageMakerOutput']",
    }
    outcome = transform(
        lab,
        scripted(lab, ECHO),
        TransformInput={"ContentType": "application/jsonlines"},
        DataProcessing=processing,
    )
    assert outcome.status == "Completed", outcome
    lines = [json.loads(line) for line in lab.get("out/a.jsonl.out").splitlines()]
    assert lines == [{"id": 1, "SageMakerOutput": [1, 2]}, {"id": 2, "SageMakerOutput": [3]}]


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"DataProcessing": {"InputFilter": "$..x"}}, "$..x"),
        ({"DataProcessing": {"InputFilter": "$[9]"}}, "element 9 of a record with 1"),
        ({"TransformInput": {"SplitType": "RecordIO"}}, "RecordIO"),
        ({"TransformInput": {"DataSource": {"S3DataSource": {"S3Uri": "s3://bucket/x"}}}}, "x"),
        ({"TransformOutput": {"S3OutputPath": "s3://nowhere/x"}}, "NoSuchBucket"),
    ],
)
def test_what_cannot_be_done_is_said(lab: Laboratory, more: dict[str, object], words: str) -> None:
    lab.put("in/a", "1\n")
    outcome = transform(lab, scripted(lab, ECHO), **more)
    assert outcome.status == "Failed"
    assert str(outcome.failure_reason).startswith("ClientError: ")
    assert words in str(outcome.failure_reason)


def test_a_handler_that_raises_fails_the_job_with_its_traceback(lab: Laboratory) -> None:
    lab.put("in/a.csv", "1\nx\n")
    outcome = transform(lab, scripted(lab, SUM), BatchStrategy="SingleRecord")
    assert outcome.status == "Failed"
    reason = str(outcome.failure_reason)
    assert reason.startswith("AlgorithmError: Bad HTTP status received from algorithm: 500")
    assert "ValueError: could not convert string to float: 'x'" in reason
    assert 'inference.py", line 7, in input_fn' in lab.log.text()
    assert "bucket/in/a.csv: Bad HTTP status" in lab.log.text("data-log")
    assert lab.keys("out") == []


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("def model_fn(d): raise OSError('no model')", "OSError: no model"),
        ("def predict_fn(x, m): return x", "Please provide a model_fn"),
        ("import no_such_module", "no_such_module"),
        ("def model_fn(d): import os; os.kill(os.getpid(), 9)", "more memory"),
        (ECHO + "\ndef predict_fn(x, m): return x", "Cannot use transform_fn"),
    ],
)
def test_a_model_that_does_not_come_up(lab: Laboratory, code: str, words: str) -> None:
    lab.put("in/a", "1\n")
    outcome = transform(lab, scripted(lab, code))
    assert outcome.status == "Failed"
    assert words in str(outcome.failure_reason)


def test_a_model_that_dies_on_a_record(lab: Laboratory) -> None:
    lab.put("in/a", "1\n")
    code = ECHO.replace("return data", "import os; os._exit(3)")
    outcome = transform(lab, scripted(lab, code))
    assert "exit code 3" in str(outcome.failure_reason)


def test_a_model_that_nothing_serves(lab: Laboratory) -> None:
    lab.put("in/a", "1\n")
    url = lab.put_archive("model.tar.gz", {"model.joblib": "x"})
    outcome = transform(lab, {"Image": "1.dkr/sagemaker-scikit-learn:1.2", "ModelDataUrl": url})
    assert "code/inference.py" in str(outcome.failure_reason)


@pytest.mark.parametrize("name", ["../evil", "/etc/evil"])
def test_archives_cannot_write_elsewhere(lab: Laboratory, name: str) -> None:
    lab.put("in/a", "1\n")
    url = lab.put_archive("model.tar.gz", {name: "x", "code/inference.py": ECHO})
    outcome = transform(lab, {"Image": "x", "ModelDataUrl": url})
    if outcome.status == "Failed":
        assert "cannot be unpacked" in str(outcome.failure_reason)
    assert not list(lab.directory.rglob("evil"))
    assert not Path(name).exists()


def test_stop_ends_the_model_server(lab: Laboratory) -> None:
    lab.put("in/a", "1\n")
    stop = threading.Event()
    timer = threading.Timer(0.6, stop.set)
    timer.start()
    started = time.monotonic()
    slow = ECHO.replace("return data", "import time; time.sleep(60); return data")
    outcome = transform(lab, scripted(lab, slow), stop=stop)
    timer.join()
    assert outcome.status == "Stopped"
    assert time.monotonic() - started < 10


def test_a_request_that_is_not_answered_in_time_is_sent_again(lab: Laboratory) -> None:
    code = ECHO.replace(
        "return data",
        "import time; seen.append(data); time.sleep(1.5 if len(seen) == 2 else 0); return data",
    )
    lab.put("in/a", "1\n2\n3\n4\n")
    outcome = transform(
        lab,
        scripted(lab, f"seen = []\n{code}"),
        BatchStrategy="SingleRecord",
        ModelClientConfig={"InvocationsTimeoutInSeconds": 1, "InvocationsMaxRetries": 1},
    )
    assert outcome.status == "Completed", outcome
    assert lab.get("out/a.out") == b"1\n2\n3\n4\n"


def test_a_model_that_does_not_answer_in_time_fails_the_job(lab: Laboratory) -> None:
    code = ECHO.replace("return data", "import time; print('asked'); time.sleep(60); return data")
    lab.put("in/a", "1\n")
    started = time.monotonic()
    outcome = transform(
        lab,
        scripted(lab, code),
        ModelClientConfig={"InvocationsTimeoutInSeconds": 1, "InvocationsMaxRetries": 0},
    )
    assert time.monotonic() - started < 10
    assert outcome.status == "Failed"
    assert str(outcome.failure_reason).startswith(
        "ClientError: Model server did not respond to /invocations request within 1 seconds "
        "for bucket/in/a (tries: 1)"
    )


def test_threads_of_the_model_do_not_hold_the_job(lab: Laboratory) -> None:
    lab.put("in/a", "1\n")
    code = (
        "import threading, time\nthreading.Thread(target=time.sleep, args=(60,)).start()\n" + ECHO
    )
    started = time.monotonic()
    assert transform(lab, scripted(lab, code)).status == "Completed"
    assert time.monotonic() - started < 10
