"""The built-in XGBoost algorithm: trained by a job, served by a batch transform."""

from __future__ import annotations

import io
import json
import re
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
import xgboost

from cdao_sdk.local.algorithms.xgboost import UserError, typed_hyperparameters

from .test_training import channel
from .test_transform import transform

if TYPE_CHECKING:
    from cdao_sdk.local.jobs import Outcome

    from .conftest import Laboratory

IMAGE = "141502667606.dkr.ecr.eu-west-1.amazonaws.com/sagemaker-xgboost:1.7-1"
HYPERPARAMETERS = {"num_round": "8", "max_depth": "3", "objective": "binary:logistic"}


def data(rows: int, seed: int, classes: int = 2) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    features = random.normal(size=(rows, 4))
    label = np.digitize(features[:, 0] + features[:, 1], np.linspace(-1, 1, classes + 1)[1:-1])
    return pd.DataFrame(np.column_stack([label, features]))


def as_csv(frame: pd.DataFrame) -> str:
    return frame.to_csv(header=False, index=False)


def as_libsvm(frame: pd.DataFrame) -> str:
    rows = frame.to_numpy()
    return "".join(
        f"{int(row[0])} " + " ".join(f"{i}:{value}" for i, value in enumerate(row[1:])) + "\n"
        for row in rows
    )


def as_parquet(frame: pd.DataFrame) -> bytes:
    stream = io.BytesIO()
    frame.rename(columns=str).to_parquet(stream)
    return stream.getvalue()


def fit(
    lab: Laboratory, *, content_type: str | None = "text/csv", **hyperparameters: str
) -> Outcome:
    more = {"ContentType": content_type} if content_type else {}
    channels = [
        channel(name, f"s3://bucket/{name}/", **more)
        for name in ("train", "validation")
        if lab.keys(name)
    ]
    return lab.train(
        "",
        AlgorithmSpecification={"TrainingImage": IMAGE, "TrainingInputMode": "File"},
        InputDataConfig=channels,
        HyperParameters=HYPERPARAMETERS | hyperparameters,
    )


def test_a_model_is_trained_and_its_metrics_are_found(lab: Laboratory) -> None:
    lab.put("train/a.csv", as_csv(data(200, 1)))
    lab.put("train/b.csv", as_csv(data(200, 2)))
    lab.put("validation/a.csv", as_csv(data(100, 3)))
    outcome = fit(lab, eval_metric="auc,logloss,accuracy")
    assert outcome.status == "Completed", lab.log.text()
    assert set(outcome.metrics) == {
        f"{name}:{metric}"
        for name in ("train", "validation")
        for metric in ("auc", "logloss", "accuracy")
    }
    assert outcome.metrics["validation:auc"] > 0.9
    first = next(line for line in lab.log.text().splitlines() if line.startswith("[0]"))
    assert re.match(r"\[0\]#011train-auc:\d\.\d{5}#011train-logloss:", first)
    model = lab.archive("out/job/output/model.tar.gz")["xgboost-model"]
    booster = xgboost.Booster(model_file=bytearray(model))
    assert booster.num_boosted_rounds() == 8
    assert booster.num_features() == 4


@pytest.mark.parametrize(
    ("content_type", "write"),
    [(None, as_libsvm), ("text/libsvm", as_libsvm), ("application/x-parquet", as_parquet)],
)
def test_other_formats(lab: Laboratory, content_type: str | None, write: object) -> None:
    assert callable(write)
    lab.put("train/part", write(data(200, 1)))
    outcome = fit(lab, content_type=content_type, eval_metric="auc")
    assert outcome.status == "Completed", lab.log.text()
    assert outcome.metrics["train:auc"] > 0.9


def test_early_stopping_looks_at_the_validation_data(lab: Laboratory) -> None:
    lab.put("train/a", as_csv(data(300, 1)))
    lab.put("validation/a", as_csv(data(50, 9)))
    outcome = fit(lab, num_round="400", eta="1", eval_metric="logloss", early_stopping_rounds="3")
    assert outcome.status == "Completed"
    assert lab.log.text().count("#011validation-logloss") < 300


@pytest.mark.parametrize(
    ("hyperparameters", "reason"),
    [
        ({"max_dept": "3"}, "Hyperparameter max_dept does not exist; did you mean max_depth?"),
        ({"eta": "much"}, "Hyperparameter eta: 'much' is not a number"),
        ({"max_depth": "1.5"}, "Hyperparameter max_depth: '1.5' is not a whole number"),
        ({"objective": "binary:wrong"}, "objective"),
        ({"eval_metric": "wrong"}, "wrong"),
    ],
)
def test_wrong_hyperparameters_fail_the_job(
    lab: Laboratory, hyperparameters: dict[str, str], reason: str
) -> None:
    lab.put("train/a", as_csv(data(50, 1)))
    outcome = fit(lab, **hyperparameters)
    assert outcome.status == "Failed"
    assert str(outcome.failure_reason).startswith("AlgorithmError: ")
    assert reason in str(outcome.failure_reason)


def test_num_round_is_required() -> None:
    with pytest.raises(UserError, match="Missing required hyperparameter: num_round"):
        typed_hyperparameters({"eta": "0.1"})


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("label,x\n1,2\n", "must be numbers only, without a header line"),
        ("1\n0\n", "label first, then features"),
        ("", "not CSV"),
    ],
)
def test_data_that_is_not_what_it_should_be(lab: Laboratory, body: str, words: str) -> None:
    lab.put("train/a.csv", body)
    assert words in str(fit(lab).failure_reason)


def test_csv_under_the_default_type_gets_a_hint(lab: Laboratory) -> None:
    lab.put("train/a.csv", as_csv(data(10, 1)))
    assert "is it text/csv?" in str(fit(lab, content_type=None).failure_reason)


def test_extra_channels_are_refused(lab: Laboratory) -> None:
    uri = lab.put("x", "1,2\n")
    outcome = lab.train(
        "",
        AlgorithmSpecification={"TrainingImage": IMAGE},
        InputDataConfig=[channel("train", uri), channel("code", uri)],
        HyperParameters=HYPERPARAMETERS,
    )
    assert "Extraneous channel found: code" in str(outcome.failure_reason)


def test_a_missing_package_names_the_extra(
    lab: Laboratory, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab.put("train/a", as_csv(data(10, 1)))
    blocker = "import sys; sys.modules['xgboost'] = None\n"
    folder = lab.directory.parent / "site"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(blocker)
    outcome = lab.train(
        "",
        AlgorithmSpecification={"TrainingImage": IMAGE},
        InputDataConfig=[channel("train", "s3://bucket/train/", ContentType="text/csv")],
        HyperParameters=HYPERPARAMETERS,
        Environment={"PYTHONPATH": str(folder)},
    )
    assert "cdao-sdk[demo]" in str(outcome.failure_reason)


def test_the_model_serves_itself(lab: Laboratory) -> None:
    train = data(300, 1)
    lab.put("train/a.csv", as_csv(train))
    fit(lab)
    test = data(40, 5).drop(columns=0)
    lab.put("in/a.csv", as_csv(test))
    model = {"Image": IMAGE, "ModelDataUrl": "s3://bucket/out/job/output/model.tar.gz"}
    outcome = transform(lab, model, TransformOutput={"S3OutputPath": "s3://bucket/scores"})
    assert outcome.status == "Completed", lab.log.text()
    scores = [float(line) for line in lab.get("scores/a.csv.out").splitlines()]
    content = lab.archive("out/job/output/model.tar.gz")["xgboost-model"]
    booster = xgboost.Booster(model_file=bytearray(content))
    expected = booster.predict(xgboost.DMatrix(test.to_numpy(dtype="float32")))
    assert scores == pytest.approx(expected.tolist(), abs=1e-6)


def test_classes_are_a_list_a_line_and_libsvm_is_read(lab: Laboratory) -> None:
    lab.put("train/a.csv", as_csv(data(300, 1, classes=3)))
    outcome = fit(lab, objective="multi:softprob", num_class="3", eval_metric="mlogloss")
    assert outcome.status == "Completed", lab.log.text()
    lab.put("in/a", "0:0.5 1:0.5 2:0 3:0\n1:-2\n")
    model = {"Image": IMAGE, "ModelDataUrl": "s3://bucket/out/job/output/model.tar.gz"}
    transform(
        lab,
        model,
        TransformInput={"ContentType": "text/libsvm"},
        TransformOutput={"S3OutputPath": "s3://bucket/scores"},
    )
    rows = [json.loads(line) for line in lab.get("scores/a.out").splitlines()]
    assert [len(row) for row in rows] == [3, 3]
    assert sum(rows[0]) == pytest.approx(1, abs=1e-5)


def test_other_content_types_are_the_clients_error(lab: Laboratory) -> None:
    lab.put("train/a.csv", as_csv(data(50, 1)))
    fit(lab)
    lab.put("in/a", "{}\n")
    model = {"Image": IMAGE, "ModelDataUrl": "s3://bucket/out/job/output/model.tar.gz"}
    outcome = transform(lab, model, TransformInput={"ContentType": "application/json"})
    assert str(outcome.failure_reason).startswith("ClientError: Bad HTTP status")
    assert "415" in str(outcome.failure_reason)
