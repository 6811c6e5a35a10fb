"""Results: from what the function returned to `outputs.json` and the files beside it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Container


def test_values_of_every_kind(container: Container) -> None:
    done = container.run(
        """
        import datetime, decimal, enum
        from collections import OrderedDict

        Color = enum.Enum("Color", {"RED": "red"})
        UTC = datetime.timezone.utc

        def step():
            return (
                None.__class__ and 1, 1.5, "é", True, [1, (2, 3)], OrderedDict(a=1), Color.RED,
                datetime.datetime(2024, 1, 2, 3, tzinfo=UTC), datetime.date(2024, 1, 2),
                datetime.timedelta(minutes=2), float("nan"), -float("inf"), [1.0, float("inf")],
                {"when": datetime.datetime(2024, 1, 2)}, {1: 2, True: 3, None: 4}, {7},
                decimal.Decimal("1.10"), 2 ** 70, {},
            )
        """,
        outputs=[f"o{i}" for i in range(19)],
    )
    assert list(done.outputs.values()) == [
        {"value": 1},
        {"value": 1.5},
        {"value": "é"},
        {"value": True},
        {"value": [1, [2, 3]]},
        {"value": {"a": 1}},
        {"value": "red"},
        {"datetime": "2024-01-02T03:00:00+00:00"},
        {"datetime": "2024-01-02T00:00:00"},
        {"timedelta": 120.0},
        {"float": "nan"},
        {"float": "-inf"},
        {"list": [{"value": 1.0}, {"float": "inf"}]},
        {"map": {"when": {"datetime": "2024-01-02T00:00:00"}}},
        {"value": {"1": 3, "null": 4}},
        {"value": [7]},
        {"value": "1.10"},
        {"value": 2**70},
        {"value": {}},
    ]


def test_the_document_names_its_job_and_metrics(container: Container) -> None:
    done = container.run("""
        import cdao_sdk

        def step() -> int:
            job = cdao_sdk.current_job()
            job.log_metric("auc", 0.5, step=1)
            job.log_metric("auc", 0.78, step=3)
            job.log_metric("validation:loss", 2)
            job.log_metric("nothing", float("nan"))
            return 1
    """)
    assert done.document == {
        "version": 1,
        "job": "job-1",
        "outputs": {"o0": {"value": 1}},
        "metrics": {
            "auc": {"value": 0.78, "step": 3},
            "validation:loss": {"value": 2.0},
            "nothing": {"value": "nan"},
        },
    }
    assert done.stdout.splitlines()[:3] == [
        "[cdao:metric] auc=0.5 step=1",
        "[cdao:metric] auc=0.78 step=3",
        "[cdao:metric] validation:loss=2.0",
    ]


def test_dataclasses_become_dicts(container: Container) -> None:
    container.needs("3.7")
    done = container.run("""
        import datetime, enum
        from dataclasses import dataclass, field
        from typing import List

        Color = enum.Enum("Color", {"RED": "red"})

        @dataclass
        class Inner:
            color: Color
            when: datetime.datetime
            span: datetime.timedelta

        @dataclass
        class Result:
            inner: List[Inner]
            score: float
            total: int = field(init=False, default=4)

        def step() -> Result:
            inner = Inner(Color.RED, datetime.datetime(2024, 1, 2), datetime.timedelta(seconds=3))
            return Result([inner], 1)
    """)
    inner = {"color": "red", "when": "2024-01-02T00:00:00", "span": 3.0}
    assert done.value == {"inner": [inner], "score": 1, "total": 4}


def test_bytes_leave_inside_a_structure(container: Container) -> None:
    assert container.run("def step(): return {'a': b'\\0\\xff'}").outputs == {
        "o0": {"map": {"a": {"bytes": "AP8="}}}
    }


@pytest.mark.parametrize(
    ("annotation", "expression", "names"),
    [
        ("Tuple[int, str]", "(1, 'a')", ["o0", "o1"]),
        ("Pair", "Pair(1, 'a')", ["number", "text"]),
        ("Pair", "(1.0, 'a')", ["number", "text"]),
    ],
)
def test_several_outputs(
    library_container: Container, annotation: str, expression: str, names: list[str]
) -> None:
    code = f"""
        from typing import NamedTuple, Tuple
        Pair = NamedTuple("Pair", [("number", int), ("text", str)])
        def step() -> {annotation}: return {expression}
    """
    done = library_container.run(code, outputs=names)
    assert done.outputs == {names[0]: {"value": 1}, names[1]: {"value": "a"}}


def test_a_named_tuple_of_one_field_is_one_named_output(container: Container) -> None:
    done = container.run(
        """
        from typing import NamedTuple
        One = NamedTuple("One", [("score", float)])
        def step() -> One: return One(1)
    """,
        outputs=["score"],
    )
    assert done.outputs == {"score": {"value": 1.0}}


def test_no_declared_output(container: Container) -> None:
    assert container.run("def step(): pass", outputs=[]).outputs == {}
    done = container.run("def step(): return 3", outputs=[])
    assert done.outputs == {}
    assert "declares no output; the value is dropped" in done.stderr


@pytest.mark.parametrize(
    ("code", "outputs", "message"),
    [
        ("def step() -> int: pass", 1, "the function returned None, but declares output 'o0'"),
        ("def step(): return None", 1, "the function returned None, but declares output 'o0'"),
        ("def step(): return 1, 2, 3", 2, "returned 3 values, but declares 2 outputs (o0, o1)"),
        ("def step(): return 7", 2, "returned 7, but declares 2 outputs (o0, o1)"),
        ("def step() -> float: return 'abc'", 1, "output 'o0': 'abc' (str) does not fit float"),
        ("def step() -> object: return object()", 1, "output 'o0': a value of type object cannot"),
        ("def step(): return {'a': [1j]}", 1, "output 'o0': a value of type complex cannot leave"),
        ("def step(): return {(1, 2): 3}", 1, "output 'o0': a dict's key must be a string or a"),
        (
            "def step():\n x = []; x.append(x); return x",
            1,
            "output 'o0': the value contains itself",
        ),
        ("def step(): return '/opt/ml/model/m.pkl'", 1, "model/m.pkl does not exist: write it"),
    ],
)
def test_results_that_cannot_be_used(
    library_container: Container, code: str, outputs: int, message: str
) -> None:
    done = library_container.run(code, outputs=["o0", "o1"][:outputs])
    assert done.failure.startswith("[cdao:USER] OutputError: ")
    assert message in done.failure
    assert "Traceback" not in done.stderr


def test_none_where_the_annotation_allows_it(container: Container) -> None:
    done = container.run(
        """
        from typing import Any, Optional, Tuple
        def step() -> Tuple[Optional[int], Any]: return None, None
    """,
        outputs=["o0", "o1"],
    )
    assert done.outputs == {"o0": {"value": None}, "o1": {"value": None}}


def test_files_leave_with_the_result(container: Container) -> None:
    done = container.run(
        """
        import os
        from typing import Dict, List, Tuple
        from pathlib import Path
        from flytekit.types.file import FlyteFile
        from flytekit.types.directory import FlyteDirectory

        def step() -> Tuple[FlyteFile, FlyteFile["html"], FlyteDirectory, Path, List[FlyteFile],
                            Dict[str, FlyteFile], str]:
            os.makedirs("d/sub")
            for name in ("relative.txt", "d/a.txt", "d/sub/b.txt"):
                with open(name, "w") as file:
                    file.write(name)
            os.symlink("..", "d/loop")
            new = FlyteFile.new("new.txt")
            with new.open("w") as file:
                file.write("new")
            return ("relative.txt", FlyteFile("d/a.txt", remote_path="s3://b/a.html"),
                    FlyteDirectory("d"), Path("d"), [new, FlyteFile("d/a.txt")],
                    {"../x y": FlyteFile("d/a.txt")}, "relative.txt")
    """,
        outputs=[f"o{i}" for i in range(7)],
    )
    assert done.outputs == {
        "o0": {"file": "files/o0/relative.txt"},
        "o1": {"file": "files/o1/a.txt", "remote_path": "s3://b/a.html"},
        "o2": {"directory": "files/o2"},
        "o3": {"directory": "files/o3"},
        "o4": {"list": [{"file": "files/o4/0/new.txt"}, {"file": "files/o4/1/a.txt"}]},
        "o5": {"map": {"../x y": {"file": "files/o5/0/a.txt"}}},
        "o6": {"value": "relative.txt"},
    }
    files = done.result_dir / "files"
    assert (files / "o0/relative.txt").read_text() == "relative.txt"
    assert (files / "o4/0/new.txt").read_text() == "new"
    for folder in ("o2", "o3"):
        assert sorted(p.name for p in (files / folder).rglob("*")) == ["a.txt", "b.txt", "sub"]


def test_paths_of_model_and_result_directories_are_named_not_copied(container: Container) -> None:
    done = container.run(
        """
        from pathlib import Path
        from flytekit.types.file import FlyteFile
        from flytekit.types.directory import FlyteDirectory
        from cdao_sdk import current_job

        def step():
            job = current_job()
            for folder in (job.model_dir, job.output_dir):
                with open(folder + "/m.bin", "w") as file:
                    file.write("x")
            return ("/opt/ml/model", "/opt/ml/model/m.bin", Path(job.model_dir),
                    job.model_dir + "/",
                    FlyteFile(job.model_dir + "/m.bin"), FlyteDirectory(job.model_dir),
                    job.output_dir + "/m.bin", FlyteFile(job.output_dir + "/m.bin"),
                    {"model": job.model_dir, "n": 1}, "/opt/mlx/model")
    """,
        outputs=[f"o{i}" for i in range(10)],
    )
    assert list(done.outputs.values()) == [
        {"model": ""},
        {"model": "m.bin"},
        {"model": ""},
        {"model": ""},
        {"model": "m.bin"},
        {"model": ""},
        {"path": "m.bin"},
        {"file": "m.bin"},
        {"map": {"model": {"model": ""}, "n": {"value": 1}}},
        {"value": "/opt/mlx/model"},
    ]
    assert not (done.result_dir / "files").exists()


def test_inputs_that_are_returned_stay_where_they_are(container: Container) -> None:
    source = container.write("input/data/data/raw.csv", "1")
    file = {"file": "/opt/ml/input/data/data/raw.csv", "uri": "s3://b/raw.csv"}
    done = container.run(
        """
        from flytekit.types.file import FlyteFile
        def step(data: FlyteFile):
            return data, FlyteFile("s3://b/other"), FlyteFile(data.path)
    """,
        inputs={"data": file},
        outputs=["same", "elsewhere", "taken"],
    )
    assert done.outputs == {
        "same": {"uri": "s3://b/raw.csv"},
        "elsewhere": {"uri": "s3://b/other"},
        "taken": {"file": "files/taken/raw.csv"},
    }
    assert source.stat().st_nlink == 1
    assert source.read_text() == "1"


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("FlyteFile('gone.csv')", "gone.csv does not exist: write it before"),
        ("FlyteDirectory('links')", "No such file or directory"),
        ("FlyteDirectory('..')", "holds the job's own result: return a directory below it"),
        ("FlyteFile('folder')", "folder is a directory, not a file"),
        ("FlyteDirectory('file')", "file is a file, not a directory"),
    ],
)
def test_files_that_are_not_what_they_should_be(
    library_container: Container, expression: str, message: str
) -> None:
    done = library_container.run(f"""
        import os
        from flytekit.types.file import FlyteFile
        from flytekit.types.directory import FlyteDirectory
        def step():
            os.mkdir("folder")
            os.makedirs("links")
            os.symlink("nowhere", "links/gone")
            if "'..'" in {expression!r}:
                os.chdir(os.environ["SM_OUTPUT_DATA_DIR"])
            open("file", "w").close()
            return {expression}
    """)
    assert done.failure.startswith("[cdao:USER] OutputError: output 'o0': ")
    assert message in done.failure


def test_processing_has_no_model(container: Container) -> None:
    container.kind = "processing"
    done = container.run("""
        from cdao_sdk import current_job
        def step() -> list:
            job = current_job()
            with open(job.output_dir + "/x", "w") as file:
                file.write("x")
            return [job.model_dir, job.kind, job.checkpoint_dir, job.output_dir + "/x"]
    """)
    assert done.outputs["o0"] == {
        "list": [{"value": None}, {"value": "processing"}, {"value": None}, {"path": "x"}]
    }
    assert not list(container.model_dir.iterdir())


def test_an_earlier_attempts_result_does_not_survive_a_failure(container: Container) -> None:
    old = container.write("output/data/outputs.json", json.dumps({"version": 1}))
    done = container.run("def step(): return 1 / 0")
    assert done.code == 1
    assert not old.exists()
    assert list(done.result_dir.iterdir()) == []
