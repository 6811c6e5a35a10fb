# /// script
# requires-python = ">=3.10,<3.13"
# dependencies = ["sagemaker==2.257.7"]
# ///
"""The SageMaker Python SDK 2: an estimator, a processor and a transformer, as its users write them.

Arguments: role, bucket, file for the result.
"""

import json
import os
import sys
from pathlib import Path

os.environ["SAGEMAKER_SUPPRESS_V2_WARNING"] = "1"

import sagemaker
from sagemaker.processing import ProcessingInput, ProcessingOutput
from sagemaker.sklearn import SKLearn
from sagemaker.sklearn.processing import SKLearnProcessor

role, bucket, result = sys.argv[1:]
project = Path(__file__).with_name("project")
# Without a bucket of its own the SDK asks the public STS: its endpoint is built into the SDK.
session = sagemaker.Session(default_bucket=bucket)
machine = {"role": role, "instance_type": "ml.m5.large", "sagemaker_session": session}

estimator = SKLearn(
    entry_point="train.py",
    source_dir=str(project),
    framework_version="1.2-1",
    hyperparameters={"depth": 3},
    metric_definitions=[{"Name": "score", "Regex": "score: ([0-9.]+);"}],
    **machine,
)
estimator.fit({"train": f"s3://{bucket}/data"}, logs="All")
training = estimator.latest_training_job.describe()

processor = SKLearnProcessor(framework_version="1.2-1", instance_count=1, **machine)
processor.run(
    code=str(project / "process.py"),
    inputs=[ProcessingInput(source=f"s3://{bucket}/data", destination="/opt/ml/processing/input")],
    outputs=[
        ProcessingOutput(source="/opt/ml/processing/output", destination=f"s3://{bucket}/processed")
    ],
    arguments=["--rows", "all"],
)

model = estimator.create_model(entry_point="infer.py", source_dir=str(project))
transformer = model.transformer(
    1, "ml.m5.large", accept="application/json", output_path=f"s3://{bucket}/transformed"
)
transformer.transform(f"s3://{bucket}/data", content_type="text/csv", split_type="Line")
transformer.delete_model()

Path(result).write_text(
    json.dumps(
        {
            "model": estimator.model_data,
            "metrics": {one["MetricName"]: one["Value"] for one in training["FinalMetricDataList"]},
        }
    )
)
