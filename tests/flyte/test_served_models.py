"""Batch transform takes one archive: a model that was uploaded unpacked comes as one, too."""

from __future__ import annotations

import tarfile
from pathlib import Path
from typing import Any

import pytest
import served_models as flows

import cdao_sdk

pytestmark = pytest.mark.usefixtures("on_embedded")


def test_a_model_beside_returned_files_is_served(tmp_path: Path, boto: Any) -> None:
    data = tmp_path / "data.csv"
    data.write_text("1,2\n3,4\n")
    execution = cdao_sdk.run(flows.fit_and_predict, {"offset": 10, "data": str(data)})
    outputs = execution.wait(timeout=90).outputs
    assert Path(outputs["o0"]).read_text() == "offset 10"
    (predictions,) = Path(outputs["o1"]).iterdir()
    assert [float(line) for line in predictions.read_text().split()] == [13.0, 17.0]
    (job,) = [job for job in execution.jobs() if job.kind == "training"]
    described = boto("sagemaker").describe_training_job(TrainingJobName=job.name)
    output = described["OutputDataConfig"]
    assert output["CompressionType"] == "NONE"
    bucket, _, prefix = output["S3OutputPath"].removeprefix("s3://").partition("/")
    archive = tmp_path / "model.tar.gz"
    key = f"{prefix}/{job.name}/output/data/cdao/model.tar.gz"
    boto("s3").download_file(bucket, key, str(archive))
    with tarfile.open(archive) as packed:
        assert {"offset", "code/inference.py"} <= set(packed.getnames())
