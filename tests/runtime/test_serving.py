"""What a training job puts into its model, and how that serves it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Container

SERVE = """
import importlib, json, sys
model_dir, requests = sys.argv[1], json.loads(sys.argv[2])
sys.path.insert(0, model_dir + "/code")
module = importlib.import_module("inference")
assert importlib.import_module("inference") is module
model = module.model_fn(model_dir)
for body, content_type, accept in requests:
    data = module.input_fn(body.encode(), content_type)
    print(json.dumps(module.output_fn(module.predict_fn(data, model), accept)))
"""


def serve(python: str, model_dir: Path, *requests: tuple[str, str, str | None]) -> list[Any]:
    """Answers of the model to (body, content type, accept), in a process of its own."""
    moved = model_dir.parent / "served"
    if moved.exists():
        shutil.rmtree(moved)
    shutil.copytree(model_dir, moved)
    command = [python, "-c", SERVE, str(moved), json.dumps(requests)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=moved, check=False)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


TRAIN = """
import pickle
from flytekit import task
from cdao_sdk import current_job, sagemaker_training_task

class Doubler:
    def predict(self, rows):
        return [[2 * float(x) for x in row] for row in rows]

@sagemaker_training_task(instance_type="ml.m5.large")
def step() -> str:
    with open(current_job().model_dir + "/model.pkl", "wb") as file:
        pickle.dump(Doubler(), file)
    return current_job().model_dir

def input_fn(body, content_type):
    assert content_type == "text/csv"
    return [line.split(",") for line in body.decode().splitlines()]

def output_fn(prediction, accept):
    return "{} {}".format(prediction, accept)
"""
HANDLERS = {name: {"module": "flow", "function": name} for name in ("input_fn", "output_fn")}


def test_own_handlers_and_own_classes_serve_without_the_sdk(container: Container) -> None:
    done = container.run(TRAIN, handlers=HANDLERS)
    assert done.outputs == {"o0": {"model": ""}}
    code = container.model_dir / "code"
    assert sorted(p.name for p in code.iterdir()) == [
        "cdao_runner.py",
        "cdao_user_code",
        "inference.py",
    ]
    assert [p.name for p in (code / "cdao_user_code").iterdir()] == ["flow.py"]
    assert serve(container.python, container.model_dir, ("1,2\n3,4", "text/csv", "*/*")) == [
        "[[2.0, 4.0], [6.0, 8.0]] */*"
    ]


def test_a_users_module_called_inference_is_not_in_the_way(container: Container) -> None:
    handlers = {name: {**entry, "module": "inference"} for name, entry in HANDLERS.items()}
    entry = {"module": "inference", "function": "step"}
    container.run({"inference.py": TRAIN}, handlers=handlers, entry=entry)
    assert serve(container.python, container.model_dir, ("1", "text/csv", "a/b")) == ["[[2.0]] a/b"]


def test_handlers_are_the_users_own_functions(container: Container) -> None:
    """SageMaker counts a handler's parameters to see whether it takes the context."""
    container.run(
        TRAIN
        + """
def model_fn(model_dir, context=None):
    return context

def transform_fn(model, data, content_type, accept, context):
    return model
""",
        handlers={
            name: {"module": "flow", "function": name} for name in ("model_fn", "transform_fn")
        },
    )
    look = """
import inspect, sys
sys.path.insert(0, sys.argv[1] + "/code")
import inference
print([n for n in ("model_fn", "input_fn", "predict_fn", "output_fn", "transform_fn")
       if hasattr(inference, n)], len(inspect.signature(inference.transform_fn).parameters))
"""
    command = [container.python, "-c", look, str(container.model_dir)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "['model_fn', 'transform_fn'] 5\n"


def test_without_handlers_the_users_module_is_not_imported(container: Container) -> None:
    done = container.run(
        """
        import os, pickle
        def step():
            with open(os.environ["SM_MODEL_DIR"] + "/model.pkl", "wb") as file:
                pickle.dump({"plain": 1}, file)
    """,
        outputs=[],
    )
    assert done.code == 0, done.stderr
    script = container.write(
        "serve.py",
        """
        import inspect, sys
        sys.path.insert(0, sys.argv[1] + "/code")
        import inference
        assert "flow" not in sys.modules
        assert inference.model_fn(sys.argv[1]) == {"plain": 1}
        functions = (inference.model_fn, inference.input_fn, inference.predict_fn,
                     inference.output_fn)
        assert [len(inspect.signature(f).parameters) for f in functions] == [1, 2, 2, 2]
        assert inference.output_fn([1, 2.5], "application/json") == ("[1, 2.5]", "application/json")
        assert inference.output_fn([[1, "a,b"], [2, "c"]], None) == ('1,"a,b"\\n2,c', "text/csv")
        assert inference.output_fn(3, "text/csv; charset=utf-8, */*") == ("3", "text/csv")
        assert inference.output_fn([1, 2], "application/jsonlines")[0] == "1\\n2"
        assert inference.input_fn(b'{"instances": {"a": 1}}', "application/json") == {"a": 1}
        for call in (lambda: inference.output_fn([1], "image/png"),
                     lambda: inference.input_fn(b"x", "text/libsvm")):
            try:
                call()
            except ValueError as error:
                assert "needs a handler" in str(error)
            else:
                raise AssertionError
    """,
    )
    subprocess.run([container.python, str(script), str(container.model_dir)], check=True)


def test_code_of_directories_is_packed_without_what_is_of_no_use(
    library_container: Container,
) -> None:
    library_container.write("input/data/code/flow.py", TRAIN)
    library_container.write("input/data/code/pkg/mod.py", "")
    library_container.write("input/data/code/.git/config", "")
    library_container.write("input/data/code/__pycache__/flow.cpython-36.pyc", "")
    done = library_container.run({}, code=["/opt/ml/input/data/code"])
    assert done.code == 0, done.stderr
    packed = library_container.model_dir / "code" / "cdao_user_code"
    assert sorted(str(p.relative_to(packed)) for p in packed.rglob("*")) == [
        "flow.py",
        "pkg",
        "pkg/mod.py",
    ]


def test_an_own_inference_script_stays_and_an_empty_model_stays_empty(
    container: Container,
) -> None:
    assert container.run("def step() -> int: return 1").value == 1
    assert not list(container.model_dir.iterdir())
    own = container.write("model/code/inference.py", "mine")
    assert container.run("def step() -> int: return 1").value == 1
    assert own.read_text() == "mine"
    assert [p.name for p in own.parent.iterdir()] == ["inference.py"]


def test_sklearn_and_xgboost_models_by_their_defaults(library_container: Container) -> None:
    done = library_container.run(
        """
        import os, joblib
        import numpy as np, pandas as pd, xgboost as xgb
        from sklearn.linear_model import LinearRegression
        from cdao_sdk import current_job

        def step():
            frame = pd.DataFrame({"a": [0.0, 1, 2, 3], "b": [1.0, 0, 1, 0]})
            target = frame["a"] * 2
            out = current_job().model_dir
            joblib.dump(LinearRegression().fit(frame, target), out + "/linear.joblib")
            booster = xgb.train({"max_depth": 2}, xgb.DMatrix(frame, target), 50)
            for name in ("model.json", "model.ubj", "xgboost-model"):
                os.makedirs(out + "/" + name.replace(".", "_"))
                target_path = out + "/" + name.replace(".", "_") + "/" + name
                booster.save_model(target_path + (".json" if name == "xgboost-model" else ""))
                if name == "xgboost-model":
                    os.rename(target_path + ".json", target_path)
    """,
        outputs=[],
    )
    assert done.code == 0, done.stderr
    model = library_container.model_dir
    csv, js = (
        ("1,0\n2,1", "text/csv", "text/csv"),
        ("[[1, 0]]", "application/json", "application/json"),
    )
    lines = ('{"a": 1, "b": 0}\n{"a": 2, "b": 1}', "application/jsonlines", None)
    answers = serve(sys.executable, model, csv, js, lines)
    assert [float(x) for x in answers[0][0].split("\n")] == pytest.approx([2, 4])
    assert json.loads(answers[1][0]) == pytest.approx([2])
    assert answers[2][1] == "text/csv"
    for name in ("model_json", "model_ubj", "xgboost-model"):
        folder = model / name
        shutil.copytree(model / "code", folder / "code")
        answers = serve(sys.executable, folder, csv, js, lines)
        values = [float(x) for x in answers[0][0].split("\n")]
        assert values == pytest.approx([2, 4], abs=0.2)


def test_models_that_no_default_loads_say_what_to_do(library_container: Container) -> None:
    done = library_container.run(
        """
        from cdao_sdk import current_job
        def step():
            for name in ("weights.pth", "metrics.json"):
                with open(current_job().model_dir + "/" + name, "w") as file:
                    file.write("{}")
    """,
        outputs=[],
    )
    assert done.code == 0, done.stderr
    look = "import sys; sys.path.insert(0, sys.argv[1] + '/code'); import inference\n"
    command = [sys.executable, "-c", look + "inference.model_fn(sys.argv[1])"]
    model = library_container.model_dir
    failed = subprocess.run([*command, str(model)], capture_output=True, text=True, check=False)
    assert "metrics.json, weights.pth; name a handler model_fn" in failed.stderr
    (model / "a.pkl").touch()
    (model / "b.joblib").touch()
    failed = subprocess.run([*command, str(model)], capture_output=True, text=True, check=False)
    assert "which of a.pkl, b.joblib is the model? Name a handler model_fn" in failed.stderr
