"""Functions that were typed into a notebook's cells."""

# ruff: noqa: S102 # cells and sources are executed, as a kernel does

from __future__ import annotations

import io
import linecache
import sys
import tarfile
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest

from cdao_sdk.errors import PlanError
from cdao_sdk.flyte.bundle import bundle, entry_point

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def notebook(monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, Any]]:
    """Runs cells as a kernel does: in `__main__`, each kept in `In`."""

    def run(*cells: str) -> dict[str, Any]:
        main = ModuleType("__main__")
        monkeypatch.setitem(sys.modules, "__main__", main)
        values = vars(main)
        values["In"] = [""]
        for number, cell in enumerate(cells):
            values["In"].append(cell)
            name = f"/tmp/ipykernel/{number}.py"  # as ipykernel names its cells
            lines = cell.splitlines(keepends=True)
            monkeypatch.setitem(linecache.cache, name, (len(cell), None, lines, name))
            try:
                exec(compile(cell, name, "exec"), values)
            except SyntaxError:
                continue
        return values

    return run


def module_of(*functions: Any) -> str:
    packed = bundle(functions)
    with tarfile.open(fileobj=io.BytesIO(packed.content), mode="r:gz") as archive:
        file = archive.extractfile("cdao_notebook.py")
        assert file is not None
        return file.read().decode()


def loaded(source: str) -> dict[str, Any]:
    values: dict[str, Any] = {"__name__": "cdao_notebook"}
    exec(compile(source, "cdao_notebook.py", "exec"), values)
    return values


def test_function_takes_along_what_it_uses_and_nothing_else(notebook: Any) -> None:
    cells = notebook(
        "import math\nimport json as j\nfrom os import path",
        "RATE = 0.5\nNAMES = {'a': (1, 2), 'b': [None, True]}\nunused_global = open",
        "class Base:\n    rate = RATE",
        "class Thing(Base):\n    def value(self): return math.floor(self.rate * 10)",
        "def helper(x): return Thing().value() + x",
        "def work(x: int) -> str:\n    return j.dumps([helper(x), NAMES['a'], path.sep])",
    )
    assert entry_point(cells["work"]).module == "cdao_notebook"
    source = module_of(cells["work"])
    assert "unused_global" not in source
    assert loaded(source)["work"](1) == cells["work"](1)


def test_latest_definition_wins(notebook: Any) -> None:
    cells = notebook(
        "def work(): return old()",
        "def old(): return 1",
        "def old(): return 2",
        "LIMIT = 1",
        "LIMIT = 5",
        "def work(): return old() + LIMIT",
    )
    assert loaded(module_of(cells["work"]))["work"]() == 7


def test_variable_of_the_function_is_not_the_notebooks(notebook: Any) -> None:
    cells = notebook(
        "frame = object()\nrow = object()",
        "def work(rows):\n    frame = list(rows)\n    return [row for row in frame]",
    )
    assert loaded(module_of(cells["work"]))["work"]("ab") == ["a", "b"]


def test_functions_that_need_each_other_both_go(notebook: Any) -> None:
    cells = notebook(
        "def even(n): return n == 0 or odd(n - 1)",
        "def odd(n): return n != 0 and even(n - 1)",
    )
    assert loaded(module_of(cells["even"]))["even"](10) is True


def test_name_of_a_builtin_may_be_the_users_own(notebook: Any) -> None:
    cells = notebook("def filter(x): return x + 1", "def work(x): return filter(len([x]))")
    assert loaded(module_of(cells["work"]))["work"](0) == 2


def test_numbers_without_a_literal_travel_too(notebook: Any) -> None:
    import numpy as np

    cells = notebook("BAD = [float('nan'), float('-inf')]\nE = set()\nEPS = 0")
    cells["EPS"] = np.float64(0.25)
    cells["In"].append("def work(): return BAD, E, EPS")
    exec("def work(): return BAD, E, EPS", cells)
    bad, empty, eps = loaded(module_of(cells["work"]))["work"]()
    assert str(bad) == "[nan, -inf]"
    assert (empty, eps) == (set(), 0.25)


def test_global_that_cannot_travel_is_named_with_its_user(notebook: Any) -> None:
    cells = notebook("model = object()", "def work(): return model")
    with pytest.raises(PlanError, match=r"'work' uses .* variable 'model', a object.*input"):
        bundle([cells["work"]])


def test_magics_and_refused_cells_are_no_hindrance(notebook: Any) -> None:
    cells = notebook("%matplotlib inline", "this is no Python", "def work(): return 3")
    assert loaded(module_of(cells["work"]))["work"]() == 3


def test_cell_under_a_magic_counts_as_ipython_keeps_it(notebook: Any) -> None:
    timed = "def helper():\n    return 2\n"
    other = "def helper():\n    return 3\n"
    # What `In` holds of `%%time` and of `%%writefile`.
    values = notebook(
        "def helper():\n    return 1\ndef work():\n    return helper()",
        f"exec({timed!r})",
    )
    values["In"] += [
        f"get_ipython().run_cell_magic('time', '', {timed!r})",
        f"get_ipython().run_cell_magic('writefile', 'x.py', {other!r})",
    ]
    assert loaded(module_of(values["work"]))["work"]() == 2


def test_line_of_a_text_is_no_magic(notebook: Any) -> None:
    values = notebook('def work():\n    return """\n%d\n!\n"""')
    assert loaded(module_of(values["work"]))["work"]() == "\n%d\n!\n"


def test_function_that_no_cell_holds_is_refused_with_the_way_out(notebook: Any) -> None:
    values = notebook("def work():\n    return 1")
    values["In"].clear()
    with pytest.raises(PlanError, match="work stands in none of the notebook's cells"):
        bundle([values["work"]])


def test_modules_of_the_user_that_a_cell_imports_go_along(notebook: Any) -> None:
    import small_flows  # noqa: F401 # a module of the user's, beside the notebook

    cells = notebook("import small_flows", "def work(): return small_flows.Colour.RED")
    assert bundle([cells["work"]]).modules == ("cdao_notebook", "small_flows")


def test_installed_packages_that_a_cell_imports_stay_out(notebook: Any) -> None:
    # Packed, numpy comes without what is compiled, and hides the one of the image.
    cells = notebook(
        "import yaml",
        "def work() -> None:\n    import numpy as np\n    yaml.dump(np.zeros(1).tolist())",
    )
    assert bundle([cells["work"]]).modules == ("cdao_notebook",)


def test_decorated_task_brings_its_decorator(notebook: Any) -> None:
    cells = notebook(
        "from cdao_sdk import sagemaker_processing_task",
        "KIND = 'ml.m5.large'",
        "@sagemaker_processing_task(framework='sklearn', instance_type=KIND)\n"
        "def work(x: int) -> int:\n    return x + 1",
    )
    assert module_of(cells["work"].task_function).split("\n\n") == [
        "from cdao_sdk import sagemaker_processing_task",
        "KIND = 'ml.m5.large'",
        (
            "@sagemaker_processing_task(framework='sklearn', instance_type=KIND)\n"
            "def work(x: int) -> int:\n    return x + 1\n"
        ),
    ]


def test_plain_interactive_session_is_refused_with_the_way_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    main = ModuleType("__main__")
    monkeypatch.setitem(sys.modules, "__main__", main)
    exec("def work(): ...", vars(main))
    with pytest.raises(PlanError, match="define them in a file or a notebook"):
        bundle([vars(main)["work"]])
