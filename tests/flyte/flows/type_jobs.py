"""Tasks whose parameters and results are of every type that travels."""

# ruff: noqa: SIM115 # short bodies: a job's end closes its files

import dataclasses
import enum
import os
from datetime import date, datetime, timedelta, timezone
from typing import Annotated, Any, Dict, List, NamedTuple, Optional, Union

import numpy as np
import pandas as pd
from flytekit import StructuredDataset, kwtypes, task
from flytekit.types.directory import FlyteDirectory
from flytekit.types.file import FlyteFile
from pydantic import BaseModel

from cdao_sdk import Channel, current_job, sagemaker_processing_task, sagemaker_training_task


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


@dataclasses.dataclass
class Part:
    name: str
    files: List[FlyteFile]
    colour: Colour = Colour.RED


@dataclasses.dataclass
class Bundle:
    parts: Dict[str, Part]
    folder: FlyteDirectory
    table: StructuredDataset
    when: datetime
    note: Optional[FlyteFile] = None


class Model(BaseModel):
    weights: FlyteFile
    shards: List[FlyteFile]
    colour: Colour
    since: datetime
    limit: timedelta
    more: Optional[FlyteFile] = None


@dataclasses.dataclass
class Crate:
    first: Optional[Part]
    mixed: List[Union[Part, str]]


class Outer(BaseModel):
    inner: Optional[Model] = None


@sagemaker_processing_task(framework="sklearn", instance_type="ml.m5.large")
def sum_files(files: List[FlyteFile]) -> int:
    return sum(int(open(file).read()) for file in files)


@sagemaker_training_task(framework="sklearn", instance_type="ml.m5.large")
def sum_named(files: Dict[str, List[FlyteFile]]) -> Dict[str, int]:
    return {key: sum(int(open(file).read()) for file in given) for key, given in files.items()}


@sagemaker_training_task(framework="sklearn", instance_type="ml.m5.large")
def streamed(files: Annotated[List[FlyteFile], Channel("files", input_mode="FastFile")]) -> int:
    return len(files)


@sagemaker_training_task(framework="sklearn", instance_type="ml.m5.large")
def weigh(file: FlyteFile, folder: FlyteDirectory, listed: List[FlyteFile]) -> FlyteFile:
    paths = [file, *(os.path.join(folder, name) for name in os.listdir(folder)), *listed]
    joined = os.path.join(current_job().output_dir, "joined.bin")
    with open(joined, "wb") as out:
        for path in paths:
            with open(path, "rb") as part:
                out.write(part.read())
    return FlyteFile(joined)


class Ratios(NamedTuple):
    ratios: Dict[str, List[float]]


@sagemaker_processing_task(framework="sklearn", instance_type="ml.m5.large")
def wrong(number: int) -> Ratios:
    return Ratios({"one": [number, "much"]})


@sagemaker_training_task(framework="sklearn", instance_type="ml.m5.large")
def rebundle(bundle: Bundle) -> Bundle:
    (part,) = bundle.parts.values()
    text = "".join(open(file).read() for file in part.files)
    if bundle.note is not None:
        text += open(bundle.note).read()
    path = os.path.join(current_job().output_dir, "text.txt")
    with open(path, "w") as file:
        file.write(text)
    folder = os.path.join(current_job().output_dir, "folder")
    os.makedirs(folder, exist_ok=True)
    for name in os.listdir(bundle.folder):
        with open(os.path.join(folder, name.upper()), "w") as file:
            file.write(open(os.path.join(bundle.folder, name)).read())
    table = bundle.table.open(pd.DataFrame).all()
    return Bundle(
        parts={"all": Part("all", [FlyteFile(path)], Colour.BLUE)},
        folder=FlyteDirectory(folder),
        table=StructuredDataset(dataframe=table * 2),
        when=bundle.when + timedelta(days=1),
        note=bundle.note,
    )


@sagemaker_processing_task(framework="sklearn", instance_type="ml.m5.large")
def remodel(model: Model) -> Model:
    with open("joined.txt", "w") as file:
        file.write("".join(open(shard).read() for shard in model.shards))
    return Model(
        weights=FlyteFile("joined.txt"),
        shards=[model.weights],
        colour=Colour.BLUE,
        since=model.since,
        limit=model.limit * 2,
    )


class Several(NamedTuple):
    moment: datetime
    day: date
    span: timedelta
    colour: Colour
    numbers: List[float]
    maybe: Optional[int]
    either: Union[int, str, None]
    nested: Dict[str, List[Dict[str, int]]]


@sagemaker_processing_task(framework="sklearn", instance_type="ml.m5.large")
def several(
    moment: datetime, day: date, span: timedelta, colour: Colour, maybe: Optional[int] = None
) -> Several:
    assert moment.tzinfo is not None
    assert type(day) is date
    return Several(
        moment, day, span, colour, [1, float("inf")], maybe, "x", {"é": [{"a": 1}], "": []}
    )


@sagemaker_processing_task(framework="sklearn", instance_type="ml.m5.large")
def tables(
    whole: pd.DataFrame,
    narrow: Annotated[pd.DataFrame, kwtypes(a=int)],
    array: np.ndarray,
    frames: List[pd.DataFrame],
) -> tuple[Annotated[pd.DataFrame, "csv"], StructuredDataset, np.ndarray, List[pd.DataFrame]]:
    assert list(narrow.columns) == ["a"]
    return whole, StructuredDataset(dataframe=narrow + 1), array * 2, [f + 1 for f in frames]


@sagemaker_processing_task(framework="sklearn", instance_type="ml.m5.large")
def pass_on(table: StructuredDataset, file: FlyteFile) -> tuple[StructuredDataset, FlyteFile]:
    return table, file


@sagemaker_processing_task(framework="sklearn", instance_type="ml.m5.large")
def loose(values: Dict[str, Any], items: List[Any]) -> str:
    return f"{sorted(values)} {len(items)}"


@sagemaker_training_task(framework="sklearn", instance_type="ml.m5.large")
def recrate(crate: Crate) -> tuple[Crate, Outer, Optional[Part]]:
    def raised(part: Part, name: str) -> Part:
        with open(name, "w") as out:
            out.write(open(part.files[0]).read().upper())
        return Part(part.name, [FlyteFile(name)])

    model_time = datetime(2024, 1, 1, tzinfo=timezone.utc)
    first, second = raised(crate.first, "first"), raised(crate.mixed[0], "second")
    model = Model(
        weights=second.files[0],
        shards=[],
        colour=Colour.RED,
        since=model_time,
        limit=timedelta(0),
    )
    return Crate(first, [second, crate.mixed[1].upper()]), Outer(inner=model), None


@task
def crate_of(part: Part) -> Crate:
    return Crate(part, [part, "label"])
