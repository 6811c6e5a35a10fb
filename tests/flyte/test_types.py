"""Values of every type through a job on the embedded SageMaker, and back into flytekit."""

from __future__ import annotations

import secrets
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
import type_jobs as jobs
from flytekit import StructuredDataset
from flytekit.types.directory import FlyteDirectory
from flytekit.types.file import FlyteFile

import cdao_sdk

if TYPE_CHECKING:
    from collections.abc import Callable

    from cdao_sdk.local.server import LocalSageMaker

BUCKET = "cdao-tests"
NOON = datetime(2024, 5, 6, 12, tzinfo=timezone(timedelta(hours=2)))


@pytest.fixture
def stored(embedded: LocalSageMaker) -> Callable[..., str]:
    """Puts an object, and gives its URI."""
    folder = f"data/{secrets.token_hex(4)}"

    def put(name: str, content: str | bytes) -> str:
        data = content if isinstance(content, bytes) else content.encode()
        embedded.objects.put_bytes(BUCKET, f"{folder}/{name}", data)
        return f"s3://{BUCKET}/{folder}/{name}"

    return put


def returned(task: Any, **inputs: object) -> dict[str, Any]:
    return dict(cdao_sdk.run(task, inputs=inputs).wait(timeout=60).outputs)


def text(file: Any) -> str:
    return Path(file).read_text()


@pytest.mark.usefixtures("on_embedded")
def test_fifty_files_share_one_input(stored: Callable[..., str]) -> None:
    files = [FlyteFile(stored(f"{n % 5}/n{n}.txt", str(n))) for n in range(50)]
    stored("0/n0.txt.bak", "1000")
    assert returned(jobs.sum_files, files=files) == {"o0": sum(range(50))}


@pytest.mark.usefixtures("on_embedded")
def test_files_of_a_mapping_share_one_channel_of_a_training_job(
    stored: Callable[..., str],
) -> None:
    files = [FlyteFile(stored(f"{n}.txt", str(n))) for n in range(50)]
    # The same file twice is brought once, and one key below another needs a folder of its own.
    odd = [files[0], FlyteFile(stored("0.txt/inner", "7")), files[1], files[1]]
    assert returned(jobs.sum_named, files={"all": files, "odd": odd, "none": []}) == {
        "o0": {"all": sum(range(50)), "odd": 9, "none": 0}
    }


@pytest.mark.usefixtures("on_embedded")
def test_dataclass_brings_its_files_and_returns_others(tmp_path: Path) -> None:
    for name in ("a", "b", "note"):
        (tmp_path / name).write_text(name)
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "x").write_text("inside")
    part = jobs.Part("one", [FlyteFile(str(tmp_path / name)) for name in "ab"])
    bundle = jobs.Bundle(
        parts={"one": part},
        folder=FlyteDirectory(str(folder)),
        table=StructuredDataset(dataframe=pd.DataFrame({"n": [1, 2]})),
        when=NOON,
        note=FlyteFile(str(tmp_path / "note")),
    )
    back = returned(jobs.rebundle, bundle=bundle)["o0"]
    assert text(back.parts["all"].files[0]) == "abnote"
    assert back.parts["all"].colour is jobs.Colour.BLUE
    assert text(f"{back.folder.download()}/X") == "inside"
    assert back.table.open(pd.DataFrame).all()["n"].tolist() == [2, 4]
    assert back.when == NOON + timedelta(days=1)
    assert text(back.note) == "note"


@pytest.mark.usefixtures("on_embedded")
def test_pydantic_model_brings_its_files_and_returns_others(stored: Callable[..., str]) -> None:
    model = jobs.Model(
        weights=FlyteFile(stored("w.bin", "w")),
        shards=[FlyteFile(stored(f"s{n}", str(n))) for n in range(20)],
        colour=jobs.Colour.RED,
        since=NOON,
        limit=timedelta(minutes=3),
    )
    back = returned(jobs.remodel, model=model)["o0"]
    assert text(back.weights) == "".join(map(str, range(20)))
    assert [text(shard) for shard in back.shards] == ["w"]
    assert (back.colour, back.since, back.limit) == (
        jobs.Colour.BLUE,
        NOON,
        timedelta(minutes=6),
    )
    assert back.more is None


@pytest.mark.usefixtures("on_embedded")
def test_several_named_outputs() -> None:
    values: dict[str, Any] = {
        "moment": NOON,
        "day": date(2024, 2, 29),
        "span": timedelta(microseconds=1),
        "colour": jobs.Colour.BLUE,
    }
    assert returned(jobs.several, **values) == {
        **values,
        "numbers": [1.0, float("inf")],
        "maybe": None,
        "either": "x",
        "nested": {"é": [{"a": 1}], "": []},
    }


@pytest.mark.usefixtures("on_embedded")
def test_data_frames_and_arrays() -> None:
    frame = pd.DataFrame({"a": [1, 2], "b": ["x", None]})
    numbers = pd.DataFrame({"a": [1.5]})
    back = returned(
        jobs.tables, whole=frame, narrow=frame, array=np.arange(3.0), frames=[numbers, numbers]
    )
    pd.testing.assert_frame_equal(back["o0"].fillna("-"), frame.fillna("-"))  # None may be NaN
    assert back["o1"].open(pd.DataFrame).all().to_dict("list") == {"a": [2, 3]}
    assert back["o2"].tolist() == [0.0, 2.0, 4.0]
    assert [f["a"].tolist() for f in back["o3"]] == [[2.5], [2.5]]


@pytest.mark.usefixtures("on_embedded")
def test_structures_inside_unions_keep_their_files(tmp_path: Path) -> None:
    (tmp_path / "a é").write_text("a")
    part = jobs.Part("one", [FlyteFile(str(tmp_path / "a é"))])
    back = returned(jobs.recrate, crate=jobs.Crate(part, [part, "label"]))
    assert text(back["o0"].first.files[0]) == "A"
    assert text(back["o0"].mixed[0].files[0]) == "A"
    assert back["o0"].mixed[1] == "LABEL"
    assert text(back["o1"].inner.weights) == "A"
    assert back["o2"] is None


@pytest.mark.usefixtures("on_embedded")
def test_results_are_read_where_flytekit_knows_nothing_of_the_run(
    tmp_path: Path,
) -> None:
    (tmp_path / "x.txt").write_text("inside")
    frame = pd.DataFrame({"n": [1, 2]})
    table, found = returned(
        jobs.pass_on,
        table=StructuredDataset(dataframe=frame),
        file=FlyteFile(str(tmp_path / "x.txt")),
    ).values()
    assert table.open(pd.DataFrame).all()["n"].tolist() == [1, 2]
    with found.open("r") as stream:
        assert stream.read() == "inside"


@pytest.mark.usefixtures("on_embedded")
def test_tasks_that_are_called_directly_take_and_give_files(tmp_path: Path) -> None:
    from flytekit import task, workflow

    @task
    def packed(text: str) -> jobs.Part:
        (tmp_path / "packed").write_text(text)
        return jobs.Part("local", [FlyteFile(str(tmp_path / "packed"))])

    @workflow
    def crated(text: str) -> tuple[jobs.Crate, jobs.Outer, jobs.Part | None]:
        return jobs.recrate(crate=jobs.crate_of(part=packed(text=text)))

    crate, outer, nothing = crated(text="b")
    assert text(crate.first.files[0]) == text(outer.inner.weights) == "B"
    assert nothing is None
    assert "'n'" in jobs.loose(values={"n": {1}}, items=[])
    frame = pd.DataFrame({"a": [1, 2]})
    whole, *_ = jobs.tables(whole=frame, narrow=frame, array=np.arange(2.0), frames=[])
    pd.testing.assert_frame_equal(whole, frame)
