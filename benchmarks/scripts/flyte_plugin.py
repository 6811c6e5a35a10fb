# /// script
# requires-python = ">=3.10,<3.13"
# dependencies = [
#   "flytekitplugins-awssagemaker==1.16.31",
#   "flytekit[connector]==1.16.31",
# ]
# ///
"""Flyte's SageMaker plugin in an environment of its own, run by `uv run --script`.

`serve PORT METRICS_PORT`: `pyflyte serve connector`, as its users run it.
`requests NUMBER PREFIX BUCKET ROLE`: CreateTask requests, in base64, as JSON; the same job as ours.
`metas BUCKET ROLE NAME…`: resource metas of jobs that are there, as JSON, to ask for them.
"""

import base64
import json
import sys
from collections import OrderedDict


def config(name: str, bucket: str, role: str) -> dict[str, object]:
    """A CreateTrainingJob request."""
    return {
        "TrainingJobName": name,
        "RoleArn": role,
        "AlgorithmSpecification": {
            "TrainingImage": "python",
            "TrainingInputMode": "File",
            "ContainerEntrypoint": ["python3", "-c", "import time; time.sleep(3600)"],
        },
        "OutputDataConfig": {"S3OutputPath": f"s3://{bucket}/models"},
        "ResourceConfig": {
            "InstanceType": "ml.m5.xlarge",
            "InstanceCount": 1,
            "VolumeSizeInGB": 30,
        },
        "StoppingCondition": {"MaxRuntimeInSeconds": 86400},
    }


def serve(port: str, metrics_port: str) -> None:
    """The plugin's service."""
    from flytekit.clis.sdk_in_container.pyflyte import main

    main(["serve", "connector", "--port", port, "--prometheus_port", metrics_port])


def requests(number: str, prefix: str, bucket: str, role: str) -> None:
    """So many requests, each for a job of its own."""
    from flyteidl.admin.agent_pb2 import CreateTaskRequest
    from flytekit import FlyteContextManager
    from flytekit.configuration import ImageConfig, SerializationSettings
    from flytekit.core.type_engine import TypeEngine
    from flytekit.tools.translator import get_serializable
    from flytekitplugins.awssagemaker_training import SageMakerTrainingJobTask

    task = SageMakerTrainingJobTask(
        name="train",
        config=config("{inputs.name}", bucket, role),
        region="us-east-1",
        inputs={"name": str},
    )
    settings = SerializationSettings(image_config=ImageConfig.auto_default_image())
    template = get_serializable(OrderedDict(), settings, task).template.to_flyte_idl()
    context = FlyteContextManager.current_context()
    made = []
    for index in range(int(number)):
        name = {"name": f"{prefix}-{index:06}"}
        literals = TypeEngine.dict_to_literal_map(context, name, {"name": str}).to_flyte_idl()
        request = CreateTaskRequest(
            template=template, inputs=literals, output_prefix=f"s3://{bucket}/metadata/{index}"
        )
        made.append(base64.b64encode(request.SerializeToString()).decode())
    print(json.dumps(made))


def metas(bucket: str, role: str, *names: str) -> None:
    """What the plugin would remember of jobs."""
    from flytekitplugins.awssagemaker_training.connector import SageMakerTrainingJobMetadata

    made = [
        SageMakerTrainingJobMetadata(config(name, bucket, role), "us-east-1").encode()
        for name in names
    ]
    print(json.dumps([base64.b64encode(each).decode() for each in made]))


if __name__ == "__main__":
    {"serve": serve, "requests": requests, "metas": metas}[sys.argv[1]](*sys.argv[2:])
