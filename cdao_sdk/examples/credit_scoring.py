"""Credit scoring on SageMaker: prepare, train, predict, evaluate.

An ordinary user file: `cdao demo` runs it on this machine, `pyflyte register` puts it on a cluster.
The data are the Statlog German Credit Data (see german_credit.md beside this file).
"""

import json
from typing import Dict, NamedTuple

from flytekit.types.directory import FlyteDirectory
from flytekit.types.file import FlyteFile

from cdao_sdk import (
    current_job,
    sagemaker_batch_transform_task,
    sagemaker_processing_task,
    sagemaker_training_task,
    sagemaker_workflow,
)

TARGET = "creditability"


class Split(NamedTuple):
    """Training rows, test rows without the truth, and the truth of the test rows."""

    train: FlyteFile
    test: FlyteFile
    truth: FlyteFile


class Report(NamedTuple):
    """The model's quality on rows that it has never seen, and a file that says more."""

    metrics: Dict[str, float]
    report: FlyteFile


@sagemaker_processing_task(
    instance_type="ml.m5.large", framework="scikit-learn", framework_version="1.9-0"
)
def prepare(data: FlyteFile, test_fraction: float) -> Split:
    """Make numbers of the columns, and keep a stratified part of the rows for the test."""
    import pandas as pd
    from sklearn.model_selection import train_test_split

    frame = pd.read_csv(data)
    bad = (frame.pop(TARGET) == "bad").astype(int)
    features = pd.get_dummies(frame, dtype=int)
    train, test, y_train, y_test = train_test_split(
        features, bad, test_size=test_fraction, stratify=bad, random_state=0
    )
    print(
        "%d rows to train on, %d to test on, %d features"
        % (len(train), len(test), features.shape[1])
    )
    train.insert(0, "bad", y_train)
    train.to_csv("train.csv", index=False)
    test.to_csv("test.csv", index=False, header=False)  # a transform sends each line to the model
    y_test.to_csv("truth.csv", index=False, header=False)
    return Split(FlyteFile("train.csv"), FlyteFile("test.csv"), FlyteFile("truth.csv"))


def predict_fn(data, model):
    """How likely each applicant is not to pay back."""
    return model.predict_proba(data)[:, 1]


@sagemaker_training_task(
    instance_type="ml.m5.xlarge",
    framework="scikit-learn",
    framework_version="1.9-0",
    use_spot_instances=True,
    max_runtime_seconds=1800,
    metrics=["validation:auc"],
    predict_fn=predict_fn,
)
def train(train: FlyteFile, trees: int, depth: int) -> str:
    """Fit a random forest; its quality is watched on a part of the training rows."""
    import os

    import joblib
    import pandas as pd
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.model_selection import cross_val_score

    frame = pd.read_csv(train)
    bad = frame.pop("bad")
    forest = RandomForestClassifier(
        n_estimators=trees, max_depth=depth, min_samples_leaf=3, random_state=0
    )
    job = current_job()
    folds = cross_val_score(forest, frame, bad, scoring="roc_auc", cv=5)
    for fold, _ in enumerate(folds):
        job.log_metric("validation:auc", folds[: fold + 1].mean(), step=fold)
    forest.fit(frame.values, bad)
    joblib.dump(forest, os.path.join(job.model_dir, "model.joblib"))
    return job.model_dir


@sagemaker_batch_transform_task(
    instance_type="ml.m5.large", max_payload_mb=6, content_type="text/csv", accept="text/csv"
)
def predict(model: str, data: FlyteFile) -> FlyteDirectory:
    """SageMaker sends the test rows to the model; one score a line comes back."""


@sagemaker_processing_task(
    instance_type="ml.m5.large", framework="scikit-learn", framework_version="1.9-0"
)
def evaluate(predictions: FlyteDirectory, truth: FlyteFile) -> Report:
    """Hold the scores against the truth."""
    import os

    import pandas as pd
    from sklearn.metrics import average_precision_score, roc_auc_score

    (file,) = os.listdir(predictions)
    scores = pd.read_csv(os.path.join(str(predictions), file), header=None)[0]
    bad = pd.read_csv(truth, header=None)[0]
    if len(scores) != len(bad):
        raise ValueError("%d scores for %d applicants" % (len(scores), len(bad)))
    chosen = scores >= scores.quantile(1 - bad.mean())
    metrics = {
        "test_auc": float(roc_auc_score(bad, scores)),
        "average_precision": float(average_precision_score(bad, scores)),
        "base_rate": float(bad.mean()),
        "precision_of_the_worst": float(bad[chosen].mean()),
    }
    with open("report.json", "w") as report:
        json.dump(dict(metrics, rows=len(bad)), report, indent=2)
    return Report(metrics, FlyteFile("report.json"))


@sagemaker_workflow
def credit_scoring_pipeline(
    data: FlyteFile, test_fraction: float = 0.25, trees: int = 300, depth: int = 8
) -> Report:
    """Processing → Training → Batch Transform → Processing."""
    split = prepare(data=data, test_fraction=test_fraction)
    model = train(train=split.train, trees=trees, depth=depth)
    predictions = predict(model=model, data=split.test)
    return evaluate(predictions=predictions, truth=split.truth)
