"""A pipeline with the SDK's guide's own names and options, on rings of points instead of loans."""

from flytekit import workflow
from flytekit.types.file import FlyteFile

from cdao_sdk.decorators import (
    sagemaker_batch_transform_task,
    sagemaker_processing_task,
    sagemaker_training_task,
    sagemaker_workflow,
)


@sagemaker_processing_task(
    instance_type="ml.m5.2xlarge", instance_count=1, framework="sklearn", framework_version="0.23-1"
)
def preprocess_features(raw_data_path: FlyteFile) -> FlyteFile:
    """Label first, as built-in algorithms want it; a file that is returned is uploaded."""
    with open(raw_data_path) as raw, open("features.csv", "w") as features:
        next(raw)
        for line in raw:
            x, y, label = line.strip().split(",")
            features.write("%s,%s,%s\n" % (label, x, y))
    return FlyteFile("features.csv")


@sagemaker_processing_task(framework="sklearn")
def preprocess_by_hand(raw_data_path: str, target: str) -> str:
    """The body reads and writes S3 itself, as code of old does."""
    import boto3

    s3 = boto3.client("s3")
    bucket, _, key = raw_data_path[len("s3://") :].partition("/")
    lines = s3.get_object(Bucket=bucket, Key=key)["Body"].read().decode().splitlines()[1:]
    rows = [line.split(",") for line in lines]
    body = "".join("%s,%s,%s\n" % (label, x, y) for x, y, label in rows)
    bucket, _, key = target[len("s3://") :].partition("/")
    s3.put_object(Bucket=bucket, Key=key, Body=body.encode())
    return target


@sagemaker_processing_task(framework="sklearn")
def without_labels(features: FlyteFile) -> FlyteFile:
    with open(features) as labelled, open("plain.csv", "w") as plain:
        for line in labelled:
            plain.write(line.partition(",")[2])
    return FlyteFile("plain.csv")


@sagemaker_training_task(
    instance_type="ml.m5.xlarge",
    instance_count=1,
    framework="xgboost",
    framework_version="1.2-1",
    use_spot_instances=True,
    max_runtime_seconds=3600,
)
def train_xgboost_model(dataset_path: FlyteFile, hyperparameters: dict) -> str:
    """Train XGBoost model using SageMaker built-in algorithm"""
    return "s3://bucket/trained-xgboost-model.tar.gz"


@sagemaker_training_task(instance_type="ml.m5.xlarge", algorithm="xgboost")
def train_from_uri(dataset_path: str, hyperparameters: dict) -> str:
    """Train XGBoost model using SageMaker built-in algorithm"""


@sagemaker_batch_transform_task(
    instance_type="ml.m5.large", instance_count=1, max_payload_mb=6, strategy="SingleRecord"
)
def batch_inference(model_path: str, input_data_path: FlyteFile) -> str:
    """Perform batch inference using SageMaker Batch Transform"""
    return "s3://bucket/batch-predictions.csv"


@sagemaker_batch_transform_task(instance_type="ml.m5.large", strategy="MultiRecord")
def batch_inference_in_batches(model_path: str, input_data_path: FlyteFile) -> str:
    """Many rows a request."""


@sagemaker_workflow
def end_to_end_sagemaker_pipeline(data_path: FlyteFile) -> tuple[str, str, str]:
    processed_data = preprocess_features(raw_data_path=data_path)
    model_path = train_xgboost_model(
        dataset_path=processed_data, hyperparameters={"max_depth": 6, "eta": 0.3}
    )
    plain = without_labels(features=processed_data)
    predictions = batch_inference(model_path=model_path, input_data_path=plain)
    more = batch_inference_in_batches(model_path=model_path, input_data_path=plain)
    return model_path, predictions, more


@workflow
def by_hand_pipeline(data_path: str, target: str) -> str:
    processed_data = preprocess_by_hand(raw_data_path=data_path, target=target)
    return train_from_uri(dataset_path=processed_data, hyperparameters={"max_depth": 6, "eta": 0.3})
