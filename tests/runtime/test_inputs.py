"""Inputs: from the spec's values to what the function's annotations ask for."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from conftest import Container

DATA = "/opt/ml/input/data/data"


def test_values_become_what_typing_says(container: Container) -> None:
    done = container.run(
        """
        import datetime, decimal, enum, pathlib, typing, uuid
        from typing import Any, Dict, FrozenSet, List, NamedTuple, Optional, Sequence, Set, Tuple
        from typing import Union


        class Color(enum.Enum):
            RED = "red"
            BLUE = "blue"


        class Level(enum.IntEnum):
            LOW = 1


        Point = NamedTuple("Point", [("x", int), ("y", float)])
        UserId = typing.NewType("UserId", int)
        T = typing.TypeVar("T")


        def step(
            i: int, f: float, s: str, b: bool, o: Optional[int], n: Optional[int],
            u: Union[int, str], u2: Union[float, int], li: List[int], bare: list,
            nested: List[List[float]],
            t: Tuple[int, str], ts: Tuple[int, ...], d: Dict[str, float], di: Dict[int, int],
            se: Set[int], sq: Sequence[int], c: Color, cn: Color, lv: Level, p: Point, p2: Point,
            when: datetime.datetime, day: datetime.date, span: datetime.timedelta, w: "Any",
            ident: UserId, tv: T, path: pathlib.Path, price: decimal.Decimal, key: uuid.UUID,
            none: None = None, implicit: int = None, *, kw: int = 3
        ) -> list:
            assert when == datetime.datetime(2024, 2, 3, 4, 5, 6, 789000, datetime.timezone.utc)
            assert day == datetime.date(2024, 2, 3) and span == datetime.timedelta(seconds=1.5)
            assert isinstance(path, pathlib.Path) and price == decimal.Decimal("1.10")
            assert se == {1, 2} and c is Color.RED and cn is Color.BLUE and lv is Level.LOW
            assert isinstance(p, Point) and isinstance(key, uuid.UUID)
            found = [i, f, s, b, o, n, u, u2, li, bare, nested, t, ts, d, di, sq, p, p2, w, ident,
                     tv, none, implicit, kw]
            return [repr(value) for value in found]
        """,
        inputs={
            "i": {"value": 6.0},
            "f": {"value": 1},
            "s": {"value": "x"},
            "b": {"value": True},
            "o": {"value": 2.0},
            "n": {"value": None},
            "u": {"value": "a"},
            "u2": {"value": 6},
            "li": {"list": [{"value": 1.0}, {"value": 2}]},
            "bare": {"value": [1, "a"]},
            "nested": {"value": [[1], [2.5]]},
            "t": {"value": [1.0, "a"]},
            "ts": {"value": [1.0, 2.0]},
            "d": {"map": {"a": {"value": 1}, "b": {"float": "inf"}}},
            "di": {"value": {"3": 4.0}},
            "se": {"value": [1, 2, 2.0]},
            "sq": {"value": [1.0]},
            "c": {"value": "red"},
            "cn": {"value": "BLUE"},
            "lv": {"value": 1.0},
            "p": {"value": [1.0, 2]},
            "p2": {"value": {"x": 1, "y": 2}},
            "when": {"datetime": "2024-02-03T04:05:06.789Z"},
            "day": {"datetime": "2024-02-03T00:00:00+00:00"},
            "span": {"timedelta": 1.5},
            "w": {"value": {"k": [1]}},
            "ident": {"value": 7.0},
            "tv": {"value": 8.5},
            "path": {"value": "/data/x"},
            "price": {"value": "1.10"},
            "key": {"value": "12345678-1234-5678-1234-567812345678"},
            "implicit": {"value": None},
        },
    )
    assert done.value == [
        *("6", "1.0", "'x'", "True", "2", "None", "'a'", "6", "[1, 2]", "[1, 'a']"),
        *("[[1.0], [2.5]]", "(1, 'a')", "(1, 2)", "{'a': 1.0, 'b': inf}", "{3: 4}", "[1]"),
        *("Point(x=1, y=2.0)", "Point(x=1, y=2.0)", "{'k': [1]}", "7", "8.5", "None", "None", "3"),
    ]


def test_dataclasses_nest(container: Container) -> None:
    container.needs("3.7")
    done = container.run(
        """
        import datetime
        from dataclasses import dataclass, field
        from typing import Dict, List, Optional
        from flytekit.types.file import FlyteFile

        @dataclass(frozen=True)
        class Inner:
            depth: int
            since: datetime.datetime

        @dataclass
        class Config:
            inner: Inner
            others: List[Inner]
            rates: Dict[str, float]
            data: FlyteFile
            name: Optional[str] = None
            total: int = field(init=False, default=0)

            def __post_init__(self):
                self.total = self.inner.depth + len(self.others)

        def step(config: Config) -> list:
            since = config.others[0].since
            return [config.inner.depth, since.year, config.rates, config.total, config.name,
                    config.data.remote_source]
    """,
        inputs={
            "config": {
                "value": {
                    "inner": {"depth": 2.0, "since": "2023-01-01T00:00:00"},
                    "others": [{"depth": 1.0, "since": "2024-01-01T00:00:00+01:00"}],
                    "rates": {"eta": 1},
                    "data": {"path": "s3://b/x.csv"},
                    "total": 0,
                }
            }
        },
    )
    assert done.value == [2, 2024, {"eta": 1.0}, 3, None, "s3://b/x.csv"]


def test_postponed_annotations_are_resolved_one_by_one(container: Container) -> None:
    container.needs("3.7")
    done = container.call(
        """
        from __future__ import annotations
        from typing import TYPE_CHECKING, List
        if TYPE_CHECKING:
            from somewhere import Thing

        def step(depth: int, things: Thing, rates: List[float]) -> list[str]:
            return [repr(depth), repr(things), repr(rates)]
    """,
        depth=6.0,
        things={"a": 1},
        rates=[1],
    )
    assert done.value == ["6", "{'a': 1}", "[1.0]"]


def test_modern_annotations(container: Container) -> None:
    container.needs("3.10")
    done = container.call(
        """
        from typing import Annotated, Literal, TypedDict
        from cdao_sdk import Channel

        class Options(TypedDict, total=False):
            depth: int

        def step(a: list[int], b: int | None, c: dict[str, float] | str, d: Literal["x", 2],
                 e: Annotated[int, Channel("train")], f: tuple[int, ...], g: Options) -> list:
            return [repr(value) for value in (a, b, c, d, e, f, g)]
    """,
        a=[1.0],
        b=None,
        c={"k": 1},
        d=2.0,
        e=3.0,
        f=[1.0],
        g={"depth": 4.0},
    )
    assert done.value == ["[1]", "None", "{'k': 1.0}", "2", "3", "(1,)", "{'depth': 4}"]


@pytest.mark.parametrize(
    ("annotation", "value", "message"),
    [
        ("int", "six", "input 'x': 'six' (str) does not fit int"),
        ("int", 6.5, "input 'x': 6.5 (float) does not fit int"),
        ("bool", 1, "input 'x': 1 (int) does not fit bool"),
        ("float", True, "input 'x': True (bool) does not fit float"),
        ("str", 3, "input 'x': 3 (int) does not fit str"),
        ("str", None, "input 'x': None (NoneType) does not fit str"),
        ("List[int]", [1, "b"], "input 'x[1]': 'b' (str) does not fit int"),
        ("Dict[str, List[int]]", {"a": ["b"]}, "input \"x['a'][0]\": 'b' (str) does not fit int"),
        (
            "Tuple[int, int]",
            [1],
            "input 'x': [1] (list) does not fit Tuple[int, int]: 1 items, not 2",
        ),
        ("Optional[int]", "a", "input 'x': 'a' (str) does not fit"),
        ("Color", "green", "input 'x': 'green' (str) does not fit Color: one of 'red'"),
        ("datetime", "soon", "input 'x': 'soon' is no date of ISO 8601"),
        ("datetime", "2024-13-01", "input 'x': month must be in 1..12"),
        ("Custom", {}, "input 'x': {} (dict) does not fit Custom"),
        ("list", "abc", "input 'x': 'abc' (str) does not fit list"),
        ("int", "y" * 500, "input 'x': '" + "y" * 76 + "... (str) does not fit int"),
    ],
)
def test_misfit_names_the_input_its_value_and_the_type(
    library_container: Container, annotation: str, value: object, message: str
) -> None:
    done = library_container.call(
        f"""
        import enum
        from datetime import datetime
        from typing import Dict, List, Optional, Tuple
        Color = enum.Enum("Color", {{"RED": "red"}})
        class Custom: pass
        def step(x: {annotation}): pass
        """,
        x=value,
    )
    assert done.failure.startswith(f"[cdao:USER] InputError: {message}")
    assert done.code == 1
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_misfits_inside_a_dataclass_say_where(container: Container) -> None:
    container.needs("3.7")
    code = """
        from dataclasses import dataclass
        @dataclass
        class Config:
            depth: int
        def step(config: Config): pass
    """
    for value, message in [
        ({"depth": "six"}, "input 'config.depth': 'six' (str) does not fit int"),
        ({"depth": 6, "dept": 5}, "does not fit Config: it has no field 'dept'"),
        ({}, "does not fit Config: "),
        ([], "input 'config': [] (list) does not fit Config"),
    ]:
        assert message in container.call(code, config=value).failure


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"a": 1, "z": 2}, "the function step has no parameter 'z'; its parameters are: a, b"),
        ({"b": 1}, "the function step needs 'a', which the job was not given"),
    ],
)
def test_inputs_that_are_not_the_functions_parameters(
    library_container: Container, inputs: dict[str, Any], message: str
) -> None:
    done = library_container.call("def step(a, b=2): return a", **inputs)
    assert done.failure.startswith(f"[cdao:USER] InputError: {message}")


def test_a_users_own_decorator_is_called_as_it_is(container: Container) -> None:
    done = container.call(
        """
        import functools
        from flytekit import task

        def timed(function):
            @functools.wraps(function)
            def wrapper(*args, **kwargs):
                return function(*args, extra="x", **kwargs)
            return wrapper

        @task
        @timed
        def step(depth: int, extra: str) -> str:
            return extra * depth
    """,
        depth=3.0,
    )
    assert done.value == "xxx"


def test_dotted_functions_and_coroutines(container: Container) -> None:
    done = container.run(
        """
        class Steps:
            @staticmethod
            async def train() -> int:
                return 5
    """,
        entry={"module": "flow", "function": "Steps.train"},
    )
    assert done.value == 5


def test_files_and_directories_are_local_paths(container: Container) -> None:
    container.write("input/data/data/raw.csv", "a,b\n1,2\n")
    container.write("input/data/data/raw.csv.bak", "older")
    container.write("input/data/images/x/1.png", b"png")
    file = {"file": f"{DATA}/raw.csv", "uri": "s3://b/raw.csv"}
    folder = {"directory": "/opt/ml/input/data/images", "uri": "s3://b/images/"}
    done = container.run(
        """
        import os, pathlib
        from typing import List
        from flytekit.types.file import FlyteFile
        from flytekit.types.directory import FlyteDirectory

        def step(a: FlyteFile["csv"], b: str, c: pathlib.Path, d: os.PathLike, e: List[FlyteFile],
                 f, g: FlyteDirectory, h: str) -> dict:
            assert isinstance(a, os.PathLike) and str(a) == a.path == os.fspath(a) == b == str(c)
            assert a == e[0] == f == d and isinstance(c, pathlib.Path) and a.download() == a.path
            with a.open() as one, open(a) as two:
                assert one.read() == two.read() == "a,b\\n1,2\\n"
            return {"source": a.remote_source, "remote_path": a.remote_path, "to": str(g) == h,
                    "listed": os.listdir(g), "crawled": [name for _, name in g.crawl()]}
    """,
        inputs={
            "a": file,
            "b": file,
            "c": file,
            "d": file,
            "e": {"list": [file]},
            "f": file,
            "g": folder,
            "h": folder,
        },
    )
    assert done.value == {
        "source": "s3://b/raw.csv",
        "remote_path": None,
        "to": True,
        "listed": ["x"],
        "crawled": ["x/1.png"],
    }


def test_files_inside_a_structure_are_local_paths(library_container: Container) -> None:
    library_container.write("input/data/data/raw.csv", "a\n1\n")
    file = {"file": f"{DATA}/raw.csv", "uri": "s3://b/raw.csv"}
    frame = {"dataframe": DATA, "format": "csv", "uri": "s3://b"}
    mapping = {"file": file, "frame": frame, "raw": {"bytes": "AP8="}}
    done = library_container.run(
        """
        from dataclasses import dataclass
        import pandas as pd
        from flytekit import StructuredDataset
        from flytekit.types.file import FlyteFile
        from pydantic import BaseModel

        @dataclass
        class Record:
            file: FlyteFile
            frame: StructuredDataset
            raw: bytes

        class Model(BaseModel):
            file: FlyteFile
            frame: StructuredDataset
            raw: bytes

        def read(made):
            assert made.raw == b"\\x00\\xff", made.raw
            frame = made.frame.open(pd.DataFrame).all()
            return open(made.file).read(), frame["a"].tolist()

        def step(record: Record, model: Model, loose: dict) -> list:
            assert open(loose["file"]).read() == "a\\n1\\n"
            return [read(record), read(model)]
    """,
        inputs={name: {"map": mapping} for name in ("record", "model", "loose")},
    )
    assert done.value == [["a\n1\n", [1]]] * 2


def test_a_pydantic_model_says_which_of_its_files_is_none(library_container: Container) -> None:
    done = library_container.run(
        """
        from flytekit.types.file import FlyteFile
        from pydantic import BaseModel

        class Model(BaseModel):
            file: FlyteFile

        def step(model: Model): pass
    """,
        inputs={"model": {"value": {"file": 3}}},
    )
    assert "InputError: input 'model': " in done.failure
    assert "3 (int) does not fit FlyteFile" in done.failure


def test_a_file_that_did_not_come_is_named(container: Container) -> None:
    container.write("input/data/data/raw.csv.bak", "older")
    done = container.run(
        "def step(data: str): pass",
        inputs={"data": {"file": f"{DATA}/raw.csv", "uri": "s3://b/raw.csv"}},
    )
    assert "InputError: input 'data': s3://b/raw.csv did not come into the job" in done.failure
    assert "raw.csv.bak" in done.failure


def test_a_file_elsewhere_cannot_be_opened(container: Container) -> None:
    done = container.run(
        """
        from flytekit.types.file import FlyteFile
        def step():
            open(FlyteFile("s3://b/x.csv"))
    """,
        outputs=[],
    )
    assert "s3://b/x.csv is not on the job's disk: make it an input of the task" in done.failure


def test_pickles_are_read_in_the_job(container: Container) -> None:
    container.write("input/data/cdao-job/pickles/0", pickle.dumps({"a": (1, 2)}, protocol=2))
    path = "/opt/ml/input/data/cdao-job/pickles/0"
    code = "def step(x) -> list: return [x['a'][0], type(x['a']).__name__]"
    assert container.run(code, inputs={"x": {"pickle": path}}).value == [1, "tuple"]
    container.write("input/data/cdao-job/pickles/0", b"\x80\x09?")
    failure = container.run(code, inputs={"x": {"pickle": path}}).failure
    assert "input 'x': its pickle cannot be read by Python" in failure
    assert "annotate the value with its real type" in failure


def test_paths_of_opt_ml_are_rewritten_at_any_depth(container: Container) -> None:
    container.write("input/data/train/x", "here")
    done = container.call(
        """
        def step(config: dict) -> list:
            with open(config["paths"][0] + "/x") as file:
                return [file.read(), config["other"]]
        """,
        config={"paths": ["/opt/ml/input/data/train"], "other": "/opt/mlx"},
    )
    assert done.value == ["here", "/opt/mlx"]


def test_a_value_of_an_unknown_kind_is_the_platforms_fault(container: Container) -> None:
    done = container.run("def step(x): pass", inputs={"x": {"hologram": 1}})
    assert done.failure.startswith("[cdao:SYSTEM] PlatformError: the spec holds a value of a kind")
