"""The model of a transform job: its files in /opt/ml/model, and the handlers that serve it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cdao_sdk.local.execution import artifacts
from cdao_sdk.local.execution.channels import DataSource, download
from cdao_sdk.local.execution.context import JobFailed
from cdao_sdk.local.execution.entrypoint import ALGORITHMS, is_xgboost
from cdao_sdk.local.execution.opt_ml import LITERAL
from cdao_sdk.local.execution.request import mapping, section, sections, text

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from cdao_sdk.local.execution.context import Context
    from cdao_sdk.local.execution.opt_ml import OptMl
    from cdao_sdk.local.execution.request import Document

_DEFAULT_PROGRAM = "inference.py"
_CODE = "/opt/ml/model/code"


@dataclass(frozen=True)
class Model:
    """A model that is ready to be served.

    Attributes:
        handlers: the Python module with model_fn and the others, as the job sees it.
        directory: working directory, `/opt/ml/…`.
        environment: the container's variables.
        by_algorithm: whether a built-in algorithm serves it, whose default answer is CSV.
    """

    handlers: str
    directory: str
    environment: Mapping[str, str]
    by_algorithm: bool


def prepare_model(context: Context, opt_ml: OptMl) -> Model:
    """Put the job's model into /opt/ml/model and find out how it is served.

    Raises:
        JobFailed: its files are missing, or nothing here can serve it.
    """
    request = section(context.job.request, "Model")
    containers = sections(request, "Containers") or [section(request, "PrimaryContainer")]
    if len(containers) != 1:
        msg = "ClientError: The embedded SageMaker serves models of one container only"
        raise JobFailed(msg)
    container = containers[0]
    _fetch_files(context, opt_ml, container)
    environment = mapping(container, "Environment")
    program = environment.get("SAGEMAKER_PROGRAM", "")
    submit = environment.get("SAGEMAKER_SUBMIT_DIRECTORY", "")
    if submit.startswith("s3://"):
        artifacts.unpack(context.objects, submit, opt_ml.real(_CODE))
    code = submit if submit.startswith(LITERAL) else _CODE
    script = opt_ml.real(code) / (program or _DEFAULT_PROGRAM)
    if program or script.is_file():
        _check_script(script, f"{code}/{script.name}")
        return Model(opt_ml.seen(f"{code}/{script.name}"), code, environment, by_algorithm=False)
    image = text(container, "Image")
    if is_xgboost(image):
        handlers = str(ALGORITHMS / "xgboost.py")
        return Model(handlers, "/opt/ml/model", environment, by_algorithm=True)
    msg = (
        f"ClientError: The embedded SageMaker has no container for the image {image!r}, and the "
        "model brings no code/inference.py with a model_fn of its own (name another file by "
        "SAGEMAKER_PROGRAM)"
    )
    raise JobFailed(msg)


def _fetch_files(context: Context, opt_ml: OptMl, container: Document) -> None:
    target = opt_ml.root / "model"
    uri = text(container, "ModelDataUrl")
    source = section(section(container, "ModelDataSource"), "S3DataSource")
    if uri:
        artifacts.unpack(context.objects, uri, target)
    elif text(source, "CompressionType") == "Gzip":
        artifacts.unpack(context.objects, text(source, "S3Uri"), target)
    elif source:
        download(context, DataSource("S3Prefix", text(source, "S3Uri")), target)


def _check_script(script: Path, name: str) -> None:
    if not script.is_file():
        msg = f"ClientError: SAGEMAKER_PROGRAM names {name}, which the model lacks"
        raise JobFailed(msg)
