"""What a training job executes: its own entrypoint, a built-in algorithm, or a toolkit's script."""

from __future__ import annotations

import re
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cdao_sdk.local.execution import artifacts
from cdao_sdk.local.execution.context import JobFailed
from cdao_sdk.local.execution.environment import arguments_of, as_text, decoded
from cdao_sdk.local.execution.opt_ml import LITERAL
from cdao_sdk.local.execution.request import mapping, section, text, texts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cdao_sdk.local.execution.context import Context
    from cdao_sdk.local.execution.opt_ml import OptMl
    from cdao_sdk.local.execution.request import Document

ALGORITHMS = Path(__file__).parent.parent / "algorithms"
CODE = "/opt/ml/code"
_XGBOOST_IMAGE = re.compile(r"(?:^|/)(?:sagemaker-)?xgboost(?:[:@]|$)")
# Source: "Tune an XGBoost Model" of the SageMaker developer guide, and XGBoost's eval_metric.
_XGBOOST_METRICS = [
    "accuracy", "aucpr", "auc", "balanced_accuracy", "cox-nloglik", "error", "f1_binary",
    "f1_macro", "f1", "gamma-deviance", "gamma-nloglik", "logloss", "mae", "map", "mape",
    "merror", "mlogloss", "mphe", "mse", "ndcg", "poisson-nloglik", "precision_macro",
    "precision_micro", "precision", "recall_macro", "recall_micro", "recall", "rmse", "rmsle",
    "r2", "tweedie-nloglik",
]  # fmt: skip
_NUMBER = r"([-+]?[0-9]*\.?[0-9]+(?:[eE][-+]?[0-9]+)?)"


@dataclass(frozen=True)
class Entrypoint:
    """What to execute, and what comes with it.

    Attributes:
        command: program and arguments.
        directory: working directory, `/opt/ml/…`.
        submit_uri: S3 URI of an archive to be unpacked in `/opt/ml/code`, or None.
        environment: variables of its own.
        metrics: (name, regular expression) of the metrics that the algorithm itself defines.
        script: whether a toolkit's script runs, whose failures are worded by the toolkit.
        reads_files: whether it is ours, and reads files also where Pipe mode is asked for.
    """

    command: list[str]
    directory: str = CODE
    submit_uri: str | None = None
    environment: Mapping[str, str] | None = None
    metrics: tuple[tuple[str, str], ...] = ()
    script: bool = False
    reads_files: bool = False

    def fetch_code(self, context: Context, opt_ml: OptMl) -> None:
        """Put the code that the entrypoint needs into its place.

        Raises:
            JobFailed: it is missing or is no archive.
        """
        if self.submit_uri is not None:
            artifacts.unpack(context.objects, self.submit_uri, opt_ml.real(CODE))


def training_entrypoint(request: Document) -> Entrypoint:
    """What the training job of `request` executes.

    Raises:
        JobFailed: there is no container for its image here.
    """
    specification = section(request, "AlgorithmSpecification")
    own = texts(specification, "ContainerEntrypoint")
    if own:
        return Entrypoint([*own, *texts(specification, "ContainerArguments")])
    image = text(specification, "TrainingImage")
    hyperparameters = mapping(request, "HyperParameters")
    if "sagemaker_program" in hyperparameters:
        return _script(hyperparameters)
    if is_xgboost(image):
        return Entrypoint(
            [sys.executable, str(ALGORITHMS / "xgboost.py")],
            metrics=tuple(_xgboost_metrics()),
            reads_files=True,
        )
    msg = (
        f"ClientError: The embedded SageMaker has no container for {_image(specification)}. Give "
        "the job a ContainerEntrypoint, or a script (hyperparameters sagemaker_program and "
        "sagemaker_submit_directory), or use the XGBoost image"
    )
    raise JobFailed(msg)


def is_xgboost(image: str) -> bool:
    """Whether `image` is one of AWS's XGBoost images."""
    return _XGBOOST_IMAGE.search(image) is not None


def user_hyperparameters(hyperparameters: Mapping[str, str]) -> dict[str, object]:
    """The decoded hyperparameters without those that are meant for the toolkit."""
    return {
        name: value
        for name, value in decoded(hyperparameters).items()
        if not name.startswith("sagemaker_")
    }


def _script(hyperparameters: Mapping[str, str]) -> Entrypoint:
    for_toolkit = decoded(hyperparameters)
    program = as_text(for_toolkit["sagemaker_program"])
    submit = as_text(for_toolkit.get("sagemaker_submit_directory"))
    arguments = arguments_of(user_hyperparameters(hyperparameters))
    if program.endswith(".py"):
        command = ["python3", program, *arguments]
    else:
        command = ["/bin/sh", "-c", shlex.join([f"./{program}", *arguments])]
    remote = submit.startswith("s3://")
    directory = submit if submit.startswith(LITERAL) else CODE
    return Entrypoint(
        command,
        directory=directory,
        submit_uri=submit if remote else None,
        environment={
            "SM_USER_ENTRY_POINT": program,
            "SM_MODULE_NAME": Path(program).stem,
            "SM_MODULE_DIR": submit,
        },
        script=True,
    )


def _xgboost_metrics() -> list[tuple[str, str]]:
    return [
        (f"{channel}:{metric}", rf".*\[[0-9]+\].*#011{channel}-{metric}:{_NUMBER}.*")
        for channel in ("train", "validation")
        for metric in _XGBOOST_METRICS
    ]


def _image(specification: Document) -> str:
    image = text(specification, "TrainingImage")
    return f"the image {image!r}" if image else f"{text(specification, 'AlgorithmName')!r}"
