# /// script
# requires-python = ">=3.10,<3.13"
# dependencies = ["flytekitplugins-awssagemaker==1.16.31"]
# ///
"""Flyte's SageMaker plugin: its tasks run by its connectors, and a job that is deleted.

Arguments: role, bucket, file for the result.
"""

import asyncio
import json
import sys
from collections import OrderedDict
from pathlib import Path

from flytekit.configuration import ImageConfig, SerializationSettings
from flytekit.extend.backend.base_connector import ConnectorRegistry
from flytekit.tools.translator import get_serializable
from flytekitplugins.awssagemaker_batch_transform import SageMakerTransformJobTask
from flytekitplugins.awssagemaker_inference import BotoConfig, BotoTask
from flytekitplugins.awssagemaker_processing import SageMakerProcessingJobTask
from flytekitplugins.awssagemaker_training import SageMakerTrainingJobTask

role, bucket, result = sys.argv[1:]
region = "us-east-1"
machine = {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 5}
source = {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": f"s3://{bucket}/data/"}}
handlers = {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": f"s3://{bucket}/code/"}}


def training(name: str, *command: str) -> dict[str, object]:
    """A CreateTrainingJob request."""
    return {
        "TrainingJobName": name,
        "RoleArn": role,
        "AlgorithmSpecification": {
            "TrainingImage": "python",
            "TrainingInputMode": "File",
            "ContainerEntrypoint": ["python3", *command],
            "MetricDefinitions": [{"Name": "score", "Regex": "score: ([0-9.]+);"}],
        },
        "InputDataConfig": [
            {"ChannelName": "train", "DataSource": source},
            {"ChannelName": "code", "DataSource": handlers},
        ],
        "OutputDataConfig": {"S3OutputPath": f"s3://{bucket}/models"},
        "ResourceConfig": machine,
        "StoppingCondition": {"MaxRuntimeInSeconds": 600},
    }


def template_of(task: object) -> object:
    """The task as FlyteAdmin would have it."""
    settings = SerializationSettings(image_config=ImageConfig.auto_default_image())
    return get_serializable(OrderedDict(), settings, task).template


train = SageMakerTrainingJobTask(
    name="train",
    config=training(
        "plugin-{inputs.suffix}-{idempotence_token}",
        "/opt/ml/input/data/code/train.py",
        "--depth",
        "3",
    ),
    region=region,
    inputs={"suffix": str},
)
trained = train(suffix="a")

whole = {"S3DataType": "S3Prefix", "S3InputMode": "File"}
target = {"S3Uri": f"s3://{bucket}/processed", "LocalPath": "/opt/ml/processing/output"}
process = SageMakerProcessingJobTask(
    name="process",
    config={
        "ProcessingJobName": "plugin-processing",
        "RoleArn": role,
        "AppSpecification": {
            "ImageUri": "python",
            "ContainerEntrypoint": ["python3", "/opt/ml/processing/code/process.py"],
            "ContainerArguments": ["--rows", "all"],
        },
        "ProcessingResources": {"ClusterConfig": machine},
        "ProcessingInputs": [
            {"InputName": name, "S3Input": {"S3Uri": uri, "LocalPath": path, **whole}}
            for name, uri, path in (
                ("rows", f"s3://{bucket}/data/", "/opt/ml/processing/input"),
                ("code", f"s3://{bucket}/code/", "/opt/ml/processing/code"),
            )
        ],
        "ProcessingOutputConfig": {
            "Outputs": [{"OutputName": "rows", "S3Output": {**target, "S3UploadMode": "EndOfJob"}}]
        },
    },
    region=region,
)
process()

container = {
    "Image": "python",
    "ModelDataUrl": trained["ModelArtifacts"]["S3ModelArtifacts"],
    "Environment": {
        "SAGEMAKER_PROGRAM": "infer.py",
        "SAGEMAKER_SUBMIT_DIRECTORY": "/opt/ml/model/code",
    },
}
model = {"ModelName": "plugin", "ExecutionRoleArn": role, "PrimaryContainer": container}
for _ in range(2):  # the second one is told that the model is there
    BotoTask(
        name="model",
        task_config=BotoConfig(
            service="sagemaker", method="create_model", config=model, region=region
        ),
    )()
transform = SageMakerTransformJobTask(
    name="transform",
    config={
        "TransformJobName": "plugin-transform",
        "ModelName": "plugin",
        "TransformInput": {"DataSource": source, "ContentType": "text/csv", "SplitType": "Line"},
        "TransformOutput": {
            "S3OutputPath": f"s3://{bucket}/transformed",
            "Accept": "application/json",
        },
        "TransformResources": {"InstanceType": "ml.m5.large", "InstanceCount": 1},
    },
    region=region,
)
transform()


async def deleted() -> str:
    """What the plugin says of a job that it deletes."""
    task = SageMakerTrainingJobTask(
        name="sleep",
        config=training("plugin-sleep", "-c", "import time; time.sleep(600)"),
        region=region,
    )
    connector = ConnectorRegistry.get_connector("sagemaker-training-job")
    meta = await connector.create(template_of(task))
    await connector.delete(meta)
    for _ in range(100):
        found = await connector.get(meta)
        if found.message == "Stopped":
            break
        await asyncio.sleep(0.1)
    return str(found.message)


document = {
    "model": trained["ModelArtifacts"]["S3ModelArtifacts"],
    "metrics": {one["MetricName"]: one["Value"] for one in trained["FinalMetricDataList"]},
    "deleted": asyncio.run(deleted()),
}
Path(result).write_text(json.dumps(document))
