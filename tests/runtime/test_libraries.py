"""numpy, pandas and pydantic, where the image has them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

if TYPE_CHECKING:
    from conftest import Container

DATA = "/opt/ml/input/data/data"


def test_numpy_values(library_container: Container) -> None:
    done = library_container.run(
        """
        import numpy as np
        import numpy.typing as npt
        from typing import Dict, List

        def step(a: np.ndarray, b: npt.NDArray[np.float32], c: np.float64):
            assert isinstance(c, np.float64) and b.dtype == np.float32 and a.tolist() == [[1, 2]]
            return (np.float32(0.5), np.int64(3), np.bool_(True), np.array([1, 2]),
                    {"m": np.float64("nan"), np.int64(3): [np.float64(1)]}, np.array(["x"]))
    """,
        inputs={"a": {"value": [[1, 2]]}, "b": {"value": [1]}, "c": {"value": 2}},
        outputs=[f"o{i}" for i in range(6)],
    )
    assert list(done.outputs.values()) == [
        {"value": 0.5},
        {"value": 3},
        {"value": True},
        {"value": [1, 2]},
        {"map": {"m": {"float": "nan"}, "3": {"value": [1.0]}}},
        {"value": ["x"]},
    ]


def test_numpy_values_fit_plain_annotations(library_container: Container) -> None:
    done = library_container.run(
        """
        import numpy as np
        from typing import Dict, List, Tuple
        def step() -> Tuple[float, int, bool, List[float], Dict[str, float]]:
            return (np.float32(0.5), np.int64(3), np.bool_(True), np.array([1, 2]),
                    {"m": np.float64(1)})
    """,
        outputs=[f"o{i}" for i in range(5)],
    )
    assert [v["value"] for v in done.outputs.values()] == [0.5, 3, True, [1.0, 2.0], {"m": 1.0}]


def test_a_declared_array_travels_as_its_file(library_container: Container) -> None:
    code = """
        import numpy as np
        def step(a: np.ndarray) -> np.ndarray: return a * 2
    """
    first = library_container.run(code, inputs={"a": {"value": [1.5]}})
    assert first.outputs == {"o0": {"file": "files/o0/array.npy"}}
    array = first.result_dir / "files/o0/array.npy"
    library_container.write("input/data/data/array.npy", array.read_bytes())
    second = library_container.run(code, inputs={"a": {"file": f"{DATA}/array.npy"}})
    assert np.load(second.result_dir / "files/o0/array.npy").tolist() == [6.0]


def test_an_optional_array_travels_as_its_file_too(library_container: Container) -> None:
    done = library_container.run("""
        import numpy as np
        from typing import Optional
        def step() -> Optional[np.ndarray]: return np.array([[1, 2]])
    """)
    assert done.outputs == {"o0": {"file": "files/o0/array.npy"}}


@pytest.mark.parametrize("encoded", [{"dataframe": DATA, "format": "csv"}, {"file": f"{DATA}/x"}])
@pytest.mark.parametrize("annotation", ["pd.DataFrame", "np.ndarray"])
def test_data_that_cannot_be_read_is_the_users(
    library_container: Container, encoded: dict[str, str], annotation: str
) -> None:
    library_container.write("input/data/data/x", b"\x00\xff")
    code = f"import numpy as np, pandas as pd\ndef step(a: {annotation}): pass"
    failure = library_container.run(code, inputs={"a": encoded}).failure
    assert failure.startswith("[cdao:USER] InputError: input 'a': ")


@pytest.mark.parametrize("format_name", ["parquet", "csv"])
@pytest.mark.parametrize("shape", ["file", "directory"])
def test_data_frames_come_in(library_container: Container, format_name: str, shape: str) -> None:
    frame = pd.DataFrame({"a": [1, 2], "b": ["x", "y"]})
    folder = library_container.channels / "data" / "frame"
    folder.mkdir(parents=True)
    names = ["part-0", "part-1"] if shape == "directory" else ["only"]
    for index, name in enumerate(names):
        part = frame.iloc[[index]] if len(names) == 2 else frame
        if format_name == "csv":
            part.to_csv(folder / f"{name}.csv", index=False)
        else:
            part.to_parquet(folder / name)
    (folder / "_SUCCESS").touch()
    only = "only.csv" if format_name == "csv" else "only"
    path = f"{DATA}/frame" if shape == "directory" else f"{DATA}/frame/{only}"
    encoded = {"dataframe": path, "format": format_name, "uri": "s3://b/frame"}
    done = library_container.run(
        """
        import pandas as pd
        from flytekit import StructuredDataset
        from flytekit.types.structured.structured_dataset import StructuredDataset as Same

        def step(a: pd.DataFrame, b: StructuredDataset, c: StructuredDataset["x"], d):
            assert Same is StructuredDataset
            assert a.equals(b.open(pd.DataFrame).all()) and a.equals(d.all())
            return a["b"].tolist(), c
    """,
        inputs=dict.fromkeys("abcd", encoded),
        outputs=["rows", "same"],
    )
    same = {"uri": "s3://b/frame", "format": format_name}
    assert done.outputs == {"rows": {"value": ["x", "y"]}, "same": same}


def test_flytekits_own_csv_file_is_found(library_container: Container) -> None:
    library_container.write("input/data/data/.csv", "a\n1\n")
    done = library_container.run(
        "import pandas as pd\ndef step(a: pd.DataFrame) -> int: return int(a['a'].sum())",
        inputs={"a": {"dataframe": DATA, "format": "csv"}},
    )
    assert done.value == 1


def test_data_frames_leave(library_container: Container) -> None:
    code = """
        import pandas as pd
        from typing import Tuple
        from flytekit import StructuredDataset
        def step() -> Tuple[pd.DataFrame, StructuredDataset, StructuredDataset, StructuredDataset]:
            frame = pd.DataFrame({"a": [1, 2]})
            return (frame, StructuredDataset(dataframe=frame), frame,
                    StructuredDataset(uri="s3://b/x"))
    """
    names = ["o0", "o1", "o2", "o3"]
    done = library_container.run(code, outputs=names)
    assert done.outputs == {
        **{n: {"dataframe": f"files/{n}", "format": "parquet"} for n in names[:3]},
        "o3": {"uri": "s3://b/x"},
    }
    assert pd.read_parquet(done.result_dir / "files/o0")["a"].tolist() == [1, 2]


def test_a_data_frame_is_of_the_columns_and_the_format_that_are_declared(
    library_container: Container,
) -> None:
    frame = pd.DataFrame({"a": [1, 2], "b": ["x", "y"]})
    folder = library_container.channels / "data"
    folder.mkdir(parents=True)
    frame.to_parquet(folder / "00000")
    done = library_container.run(
        """
        from typing import Annotated
        import pandas as pd
        from flytekit import StructuredDataset, kwtypes

        Narrow = Annotated[pd.DataFrame, kwtypes(b=str)]
        Csv = Annotated[StructuredDataset, "csv", kwtypes(b=str)]

        def step(narrow: Narrow, lazy: Annotated[StructuredDataset, kwtypes(a=int)]) -> Csv:
            assert list(narrow.columns) == ["b"]
            assert list(lazy.open(pd.DataFrame).all().columns) == ["a"]
            return StructuredDataset(dataframe=narrow)
    """,
        inputs={key: {"dataframe": DATA, "format": "parquet"} for key in ("narrow", "lazy")},
    )
    assert done.outputs == {"o0": {"dataframe": "files/o0", "format": "csv"}}
    assert (done.result_dir / "files/o0/.csv").read_text() == "b\nx\ny\n"


def test_without_a_parquet_writer_data_frames_leave_as_csv(library_container: Container) -> None:
    done = library_container.run("""
        import importlib.util, sys
        sys.modules["pyarrow"] = None  # as if it were not installed
        for name in [n for n in sys.modules if n.startswith("pyarrow.")]:
            del sys.modules[name]
        real = importlib.util.find_spec
        def find_spec(name, *args):
            return None if name in ("pyarrow", "fastparquet") else real(name, *args)
        importlib.util.find_spec = find_spec
        import pandas as pd
        def step() -> pd.DataFrame: return pd.DataFrame({"a": [1, 2]})
    """)
    assert done.outputs == {"o0": {"dataframe": "files/o0", "format": "csv"}}
    assert (done.result_dir / "files/o0/.csv").read_text() == "a\n1\n2\n"


def test_a_data_frame_that_cannot_be_written_is_named(library_container: Container) -> None:
    done = library_container.run("""
        import pandas as pd
        def step() -> pd.DataFrame: return pd.DataFrame({"a": [1, "x", object()]})
    """)
    assert "OutputError: output 'o0': the data frame cannot be written as parquet" in done.failure


def test_pydantic_models(library_container: Container) -> None:
    code = """
        import datetime
        from typing import List
        from pydantic import BaseModel
        from flytekit.types.file import FlyteFile

        class Inner(BaseModel):
            depth: int
            when: datetime.datetime

        class Config(BaseModel):
            inner: List[Inner]
            data: FlyteFile = FlyteFile("s3://b/x")

        def step(config: Config) -> Config:
            config.inner[0].depth += 1
            return config
    """
    value = {"inner": [{"depth": 5.0, "when": "2024-01-02T00:00:00"}]}
    done = library_container.call(code, config=value)
    assert done.outputs["o0"]["map"] == {
        "inner": {"value": [{"depth": 6, "when": "2024-01-02T00:00:00"}]},
        "data": {"uri": "s3://b/x"},
    }
    failure = library_container.call(code, config={"inner": [{"depth": "x"}]}).failure
    assert "InputError: input 'config': " in failure
    assert "does not fit Config: " in failure


def test_models_themselves_cannot_leave_and_the_mend_is_said(library_container: Container) -> None:
    done = library_container.run("""
        from sklearn.linear_model import LinearRegression
        def step(): return LinearRegression()
    """)
    assert "output 'o0': a value of type LinearRegression cannot leave the job" in done.failure
    assert "current_job().model_dir" in done.failure
