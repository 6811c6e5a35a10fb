# /// script
# requires-python = ">=3.10,<3.13"
# dependencies = ["sagemaker-core==2.27.0", "sagemaker-train==1.27.0"]
# ///
"""The SageMaker Python SDK 3: ModelTrainer, ScriptProcessor, Transformer, as its users write them.

Arguments: role, bucket, file for the result.
"""

import json
import sys
from pathlib import Path

from sagemaker.core.helper.session_helper import Session
from sagemaker.core.processing import ScriptProcessor
from sagemaker.core.resources import Model
from sagemaker.core.shapes import (
    ContainerDefinition,
    ProcessingInput,
    ProcessingOutput,
    ProcessingS3Input,
    ProcessingS3Output,
)
from sagemaker.core.transformer import Transformer
from sagemaker.train import ModelTrainer
from sagemaker.train.configs import Compute, InputData, SourceCode

IMAGE = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3"

role, bucket, result = sys.argv[1:]
project = Path(__file__).with_name("project")
session = Session(default_bucket=bucket)

trainer = ModelTrainer(
    sagemaker_session=session,
    role=role,
    training_image=IMAGE,
    source_code=SourceCode(source_dir=str(project), entry_script="train.py"),
    compute=Compute(instance_type="ml.m5.large", instance_count=1, volume_size_in_gb=5),
    hyperparameters={"depth": 3},
    base_job_name="trained",
)
trainer.train([InputData(channel_name="train", data_source=f"s3://{bucket}/data/")])
training = trainer._latest_training_job  # the SDK gives no other way to it
training.refresh()

processor = ScriptProcessor(
    image_uri=IMAGE,
    command=["python3"],
    role=role,
    instance_type="ml.m5.large",
    instance_count=1,
    sagemaker_session=session,
)
source = ProcessingS3Input(
    s3_uri=f"s3://{bucket}/data/",
    local_path="/opt/ml/processing/input",
    s3_data_type="S3Prefix",
    s3_input_mode="File",
)
target = ProcessingS3Output(
    s3_uri=f"s3://{bucket}/processed",
    local_path="/opt/ml/processing/output",
    s3_upload_mode="EndOfJob",
)
processor.run(
    code=str(project / "process.py"),
    inputs=[ProcessingInput(input_name="rows", s3_input=source)],
    outputs=[ProcessingOutput(output_name="rows", s3_output=target)],
    arguments=["--rows", "all"],
)

container = ContainerDefinition(
    image=IMAGE,
    model_data_url=training.model_artifacts.s3_model_artifacts,
    environment={
        "SAGEMAKER_PROGRAM": "infer.py",
        "SAGEMAKER_SUBMIT_DIRECTORY": "/opt/ml/model/code",
    },
)
model = Model.create(model_name="trained", execution_role_arn=role, primary_container=container)
transformer = Transformer(
    model_name="trained",
    instance_count=1,
    instance_type="ml.m5.large",
    output_path=f"s3://{bucket}/transformed",
    accept="application/json",
    sagemaker_session=session,
)
transformer.transform(f"s3://{bucket}/data/", content_type="text/csv", split_type="Line")
model.delete()

document = {"model": training.model_artifacts.s3_model_artifacts, "metrics": {}}
Path(result).write_text(json.dumps(document))
