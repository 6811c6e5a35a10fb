"""What the SDK's guide shows, on another data set: what runs, and what is refused how."""

# ruff: noqa: UP006, RET504 # tasks as users write them

from __future__ import annotations

import io
import json
import random
import tarfile
from typing import TYPE_CHECKING, Any, Dict  # noqa: UP035 # as the guide writes it

import guide_flow
import pytest
from flytekit import Resources, task
from flytekit.configuration import ImageConfig, SerializationSettings

import cdao_sdk
from cdao_sdk import SpecError

if TYPE_CHECKING:
    from pathlib import Path

REGISTRY = "763104351884.dkr.ecr.us-east-1.amazonaws.com"


def ring_rows(count: int = 120) -> list[tuple[float, float, int]]:
    """Points, and whether they lie near the middle."""
    draw = random.Random(7)
    points = [(draw.uniform(-1, 1), draw.uniform(-1, 1)) for _ in range(count)]
    return [(x, y, int(x * x + y * y < 0.4)) for x, y in points]


@pytest.fixture
def rings(tmp_path: Path) -> Path:
    """A small CSV of the user's."""
    rows = "".join(f"{x:.4f},{y:.4f},{label}\n" for x, y, label in ring_rows())
    path = tmp_path / "rings.csv"
    path.write_text("x,y,label\n" + rows)
    return path


def read(boto: Any, uri: str) -> bytes:
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return boto("s3").get_object(Bucket=bucket, Key=key)["Body"].read()


def test_pipeline_runs_end_to_end(on_embedded: Path, boto: Any, rings: Path) -> None:
    execution = cdao_sdk.run(
        workflow=guide_flow.end_to_end_sagemaker_pipeline, inputs={"data_path": rings}
    )
    model, single, multi = execution.wait(timeout=100).outputs.values()
    with tarfile.open(fileobj=io.BytesIO(read(boto, str(model)))) as archive:
        assert archive.getnames()
    truth = [label for *_, label in ring_rows()]
    lines = [read(boto, f"{uri}/plain.csv.out").split() for uri in (single, multi)]
    assert lines[0] == lines[1]
    scores = [float(line) for line in lines[0]]
    assert len(scores) == len(truth)
    right = sum((score > 0.5) == bool(label) for score, label in zip(scores, truth, strict=True))
    assert right / len(truth) > 0.9
    kinds = [job.kind for job in execution.jobs()]
    assert sorted(kinds) == ["processing", "processing", "training", "transform", "transform"]
    (training,) = [job for job in execution.jobs() if job.kind == "training"]
    assert training.hyperparameters["max_depth"] == "6"
    assert training.hyperparameters["eta"] == "0.3"
    assert training.seen.spot
    assert model == training.artifact
    # What the transforms served is gone with them.
    models = boto("sagemaker").list_models(NameContains=execution.id)["Models"]
    assert models == []


def test_body_may_read_and_write_s3_itself(on_embedded: Path, boto: Any, rings: Path) -> None:
    boto("s3").upload_file(str(rings), "cdao-tests", "guide/rings.csv")
    inputs = {
        "data_path": "s3://cdao-tests/guide/rings.csv",
        "target": "s3://cdao-tests/guide/processed.csv",
    }
    execution = cdao_sdk.run(guide_flow.by_hand_pipeline, inputs).wait(timeout=100)
    assert str(execution.outputs["o0"]).endswith("/output/model.tar.gz")


def plain_task(config: dict[str, Any], image: str | None = None, **more: Any) -> Any:
    """flytekit's own decorator, as the guide uses it."""
    return task(
        task_config={"platform": "sagemaker", **config},
        requests=Resources(cpu="2", mem="8Gi"),
        **({"container_image": image} if image else {}),
        **more,
    )


PROCESSING = {
    "job_type": "processing",
    "instance_type": "ml.m5.2xlarge",
    "instance_count": 1,
    "framework": "scikit-learn",
    "framework_version": "0.23-1",
}
TRAINING = {
    "job_type": "training",
    "instance_type": "ml.m5.xlarge",
    "instance_count": 1,
    "algorithm": "xgboost",
    "framework_version": "1.2-1",
    "use_spot_instances": True,
    "max_runtime_seconds": 3600,
}
TRANSFORM = {
    "job_type": "batch_transform",
    "instance_type": "ml.m5.large",
    "instance_count": 1,
    "max_payload_mb": 6,
    "max_concurrent_transforms": 1,
    "strategy": "SingleRecord",
}
SKLEARN_IMAGE = f"{REGISTRY}/sagemaker-scikit-learn:0.23-1-cpu-py3"
XGBOOST_IMAGE = f"{REGISTRY}/sagemaker-xgboost:1.2-1"


def test_plain_processing_task_is_accepted_with_its_image() -> None:
    @plain_task(PROCESSING, SKLEARN_IMAGE)
    def preprocess_data_sagemaker(raw_data_path: str, preprocessing_config: Dict[str, Any]) -> str:
        return raw_data_path + str(preprocessing_config)

    assert preprocess_data_sagemaker.task_type == "sagemaker_processing"
    settings = SerializationSettings(image_config=ImageConfig.auto_default_image())
    custom = preprocess_data_sagemaker.get_custom(settings)
    assert custom["spec"]["container_image"] == SKLEARN_IMAGE
    assert custom["runs_body"] is True
    json.dumps(custom)


def test_plain_training_task_with_a_body_names_the_way_out() -> None:
    def train_model_sagemaker(processed_data_path: str, model_config: dict) -> str:
        return processed_data_path + str(model_config)

    with pytest.raises(SpecError, match=r"has a body.*framework='xgboost'.*or make .* a stub"):
        plain_task(TRAINING)(train_model_sagemaker)


def test_plain_training_task_with_a_stub_is_the_algorithm() -> None:
    @plain_task(TRAINING)
    def train_model_sagemaker(processed_data_path: str, model_config: dict) -> str:
        """Managed infrastructure."""
        return "s3://bsingh-ml-workflows/models/sagemaker_model.tar.gz"

    assert not train_model_sagemaker.runs_body


def test_image_in_an_account_that_does_not_hold_it_is_pointed_out(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def train_model_sagemaker(processed_data_path: str, model_config: dict) -> str: ...

    assert not plain_task(TRAINING, XGBOOST_IMAGE)(train_model_sagemaker).runs_body
    assert "AWS keeps this repository in account 683313688378" in caplog.text


def test_plain_transform_task_is_accepted_with_a_config_that_can_be_read() -> None:
    @plain_task(TRANSFORM)
    def batch_predict_sagemaker(
        model_path: str, input_data_path: str, prediction_config: dict
    ) -> str:
        """SageMaker Batch Transform handles the inference automatically."""
        import boto3  # noqa: F401

        output_path = "s3://bsingh-ml-workflows/predictions/batch_predictions.csv"
        return output_path

    roles = {role.name: role.role for role in batch_predict_sagemaker._roles}
    assert roles == {
        "model_path": "model",
        "input_data_path": "input",
        "prediction_config": "environment",
    }


def test_plain_transform_task_with_a_pickled_config_says_that_it_does_not_arrive(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def batch_predict_sagemaker(
        model_path: str, input_data_path: str, prediction_config: Dict[str, Any]
    ) -> str: ...

    task = plain_task(TRANSFORM)(batch_predict_sagemaker)
    assert task._roles[2].role == "unused"
    assert "prediction_config does not reach the model" in caplog.text


def test_plain_evaluation_task_is_accepted() -> None:
    config = {"job_type": "processing", "instance_type": "ml.m5.large", "framework": "sklearn"}

    @plain_task(config)
    def evaluate_predictions_sagemaker(
        predictions_path: str, ground_truth_path: str, evaluation_config: Dict[str, Any]
    ) -> Dict[str, float]:
        return {"accuracy": float(len(predictions_path) > len(ground_truth_path))}

    assert evaluate_predictions_sagemaker.runs_body


def test_plain_gpu_training_task_is_accepted() -> None:
    config = {
        "job_type": "training",
        "instance_type": "ml.p3.2xlarge",
        "instance_count": 1,
        "framework": "pytorch",
        "framework_version": "1.8.0",
        "python_version": "py36",
        "use_spot_instances": True,
    }

    @plain_task(config)
    def train_deep_learning_model_sagemaker(
        processed_data_path: str, model_config: Dict[str, Any]
    ) -> str:
        return processed_data_path + str(model_config)

    assert train_deep_learning_model_sagemaker.task_config.spec.python_version == "3.6"


def test_gpu_cell_of_the_notebook_is_accepted() -> None:
    @cdao_sdk.sagemaker_training_task(
        instance_type="ml.p3.2xlarge", framework="pytorch", use_spot_instances=True
    )
    def train_pytorch_model(data_path: str) -> str:
        return "model_artifacts_path"

    assert train_pytorch_model.runs_body  # type: ignore[attr-defined]
