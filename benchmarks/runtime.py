"""The script runtime around a trivial function, beside a bare interpreter and pyflyte-execute."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

from benchmarks.measure import PYTHON, Row, in_turns, milliseconds

MODULE = """\
from flytekit import task


@task
def add(a: int, b: int) -> int:
    return a + b
"""


def rows() -> list[Row]:
    """The same function under three starters, in turns."""
    import cdao_sdk

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        code = folder / "code"
        code.mkdir()
        (code / "adding.py").write_text(MODULE)
        # What a bare interpreter imports: the same module with flytekit's decorator taken off.
        (folder / "bare").mkdir()
        (folder / "bare" / "adding.py").write_text(MODULE.replace("@task\n", "").partition("\n")[2])
        spec = folder / "spec.json"
        spec.write_text(json.dumps(_spec(folder, code)))
        runner = Path(cdao_sdk.__file__).parent / "runtime" / "runner.py"
        inputs, outputs = _flyte_inputs(folder), folder / "outputs"
        environment = {**os.environ, "PYTHONPATH": str(code)}
        bare_code = str(folder / "bare")
        bare = f"import sys; sys.path.insert(0, {bare_code!r}); import adding; adding.add(1, 2)"
        medians = in_turns(
            {
                "bare": [PYTHON, "-c", bare],
                "runner": [PYTHON, str(runner), "--spec", str(spec)],
                "pyflyte": [
                    str(Path(PYTHON).with_name("pyflyte-execute")),
                    *("--inputs", str(inputs)),
                    *("--output-prefix", str(outputs)),
                    *("--raw-output-data-prefix", str(outputs)),
                    *("--resolver", "flytekit.core.python_auto_container.default_task_resolver"),
                    *("--", "task-module", "adding", "task-name", "add"),
                ],
            },
            environment=environment,
        )
        result = json.loads((folder / "result" / "outputs.json").read_text())
        if result["outputs"] != {"o0": {"value": 3}}:
            msg = f"the runtime returned {result['outputs']!r}"
            raise RuntimeError(msg)
        if not (outputs / "outputs.pb").exists():
            msg = "pyflyte-execute has left no outputs"
            raise RuntimeError(msg)
    runner_over = medians["runner"] - medians["bare"]
    flyte_over = medians["pyflyte"] - medians["bare"]
    return [
        Row(
            "script runtime, over a bare interpreter",
            milliseconds(runner_over),
            f"`pyflyte-execute`: {milliseconds(flyte_over)}",
            f"1/{flyte_over / runner_over:.0f}",
            "< 100 ms",
        )
    ]


def _spec(folder: Path, code: Path) -> dict[str, object]:
    return {
        "version": 1,
        "kind": "processing",
        "entry": {"module": "adding", "function": "add"},
        "code": [str(code)],
        "inputs": {"a": {"value": 1}, "b": {"value": 2}},
        "outputs": ["o0"],
        "result_dir": str(folder / "result"),
        "model_dir": None,
        "job": {"name": "add", "execution": "", "node": "", "attempt": 0},
    }


def _flyte_inputs(folder: Path) -> Path:
    from flytekit.core.context_manager import FlyteContextManager
    from flytekit.core.type_engine import TypeEngine
    from flytekit.core.utils import write_proto_to_file

    context = FlyteContextManager.current_context()
    literals = TypeEngine.dict_to_literal_map(context, {"a": 1, "b": 2}, {"a": int, "b": int})
    path = folder / "inputs.pb"
    write_proto_to_file(literals.to_flyte_idl(), str(path))
    return path
