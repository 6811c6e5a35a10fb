"""Models on disk: one file a model, the request that created it and its birth."""

from __future__ import annotations

import json
import time
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cdao_sdk.local.errors import ValidationFailed
from cdao_sdk.local.job_kinds import arn

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

RESOURCE = "model"


@dataclass(frozen=True, kw_only=True)
class Model:
    """A model: its CreateModel request, region and birth (seconds since 1970)."""

    request: Mapping[str, Any]
    region: str
    created: float

    @property
    def name(self) -> str:
        """The model's name."""
        return str(self.request["ModelName"])

    @property
    def arn(self) -> str:
        """The model's ARN."""
        return model_arn(self.region, self.name)

    def check_batch(self) -> None:
        """Refuse what a batch transform cannot serve.

        Source: AWS's answer as quoted in aws/sagemaker-python-sdk, issues 4777 and 5160.

        Raises:
            ValidationFailed: a container's model is no archive.
        """
        request = self.request
        containers: list[Any] = [request.get("PrimaryContainer"), *request.get("Containers", ())]
        if any("ModelDataSource" in container for container in containers if container):
            msg = (
                "SageMaker Batch currently doesn't support Model entity with container definitions"
                f' which use ModelDataSource: "{self.arn}".'
            )
            raise ValidationFailed(msg)


def model_arn(region: str, name: str) -> str:
    """The ARN of a model."""
    return arn(region, RESOURCE, name)


class Models:
    """The models of a state directory."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def create(self, request: Mapping[str, Any], region: str) -> Model:
        """Keep a new model.

        Raises:
            ValidationFailed: its name is taken.
        """
        model = Model(request=request, region=region, created=round(time.time(), 3))
        self._folder.mkdir(parents=True, exist_ok=True)
        draft = self._folder / f".{uuid.uuid4().hex}"
        draft.write_text(json.dumps(vars(model)), encoding="utf-8")
        try:
            self._path(model.name).hardlink_to(draft)
        except FileExistsError as error:
            msg = f'Cannot create already existing model "{model.arn}".'
            raise ValidationFailed(msg) from error
        finally:
            draft.unlink()
        return model

    def get(self, name: str, region: str) -> Model:
        """The model of this name.

        Raises:
            ValidationFailed: there is none.
        """
        try:
            return Model(**json.loads(self._path(name).read_bytes()))
        except FileNotFoundError as error:
            raise _missing(name, region) from error

    def delete(self, name: str, region: str) -> None:
        """Delete a model.

        Raises:
            ValidationFailed: there is none.
        """
        try:
            self._path(name).unlink()
        except FileNotFoundError as error:
            raise _missing(name, region) from error

    def list(self) -> list[Model]:
        """All models, in no order."""
        models: list[Model] = []
        for path in self._folder.glob("[!.]*.json"):
            try:
                models.append(Model(**json.loads(path.read_bytes())))
            except FileNotFoundError:  # deleted since the folder was read
                continue
        return models

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.json"


def _missing(name: str, region: str) -> ValidationFailed:
    return ValidationFailed(f'Could not find model "{model_arn(region, name)}".')
