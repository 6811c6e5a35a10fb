"""The user's code as one archive: what goes in, under which name, and what stays out."""

# ruff: noqa: S102 # cells and sources are executed, as a kernel does

from __future__ import annotations

import importlib
import io
import json
import subprocess
import sys
import sysconfig
import tarfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from cdao_sdk.errors import PlanError
from cdao_sdk.flyte.bundle import CodeBundle, bundle, entry_point

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PROGRAM = """
import json
from cdao_sdk.flyte.bundle import bundle, entry_point
{imports}

def work():
    return 1

if __name__ == "__main__":
    entry = entry_point(work)
    print(json.dumps([entry.module, entry.function, bundle([work]).modules]))
"""


def files_of(packed: CodeBundle) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(packed.content), mode="r:gz") as archive:
        return {m.name: archive.extractfile(m).read() for m in archive}  # type: ignore[union-attr]


@pytest.fixture
def project(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """Writes a project's files and imports one of its modules."""
    known = set(sys.modules)

    def make(files: dict[str, str], module: str) -> Any:
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        monkeypatch.syspath_prepend(str(tmp_path))
        return importlib.import_module(module)

    yield make
    for name in set(sys.modules) - known:
        if name.startswith("bundled_"):
            del sys.modules[name]


def test_imports_are_followed_at_any_depth_and_inside_functions(project: Any) -> None:
    module = project(
        {
            "bundled_a.py": "import bundled_shared\ndef work():\n    from bundled_b import deep\n",
            "bundled_b.py": "import numpy, os\nfrom bundled_pack.inner import thing\n",
            "bundled_pack/__init__.py": "from . import sibling\n",
            "bundled_pack/inner.py": "from .sibling import thing\nfrom ..nowhere import x\n",
            "bundled_pack/sibling.py": "thing = 1\n",
            "bundled_pack/unused.py": "",
            "bundled_shared.py": "",
        },
        "bundled_a",
    )
    packed = bundle([module.work])
    assert sorted(files_of(packed)) == [
        "bundled_a.py",
        "bundled_b.py",
        "bundled_pack/__init__.py",
        "bundled_pack/inner.py",
        "bundled_pack/sibling.py",
        "bundled_shared.py",
    ]


def test_function_deep_in_a_package_brings_the_packages_above(project: Any) -> None:
    module = project(
        {
            "bundled_top/__init__.py": "LEVEL = 0\n",
            "bundled_top/sub/__init__.py": "",
            "bundled_top/sub/leaf.py": "from .. import LEVEL\ndef work(): ...\n",
        },
        "bundled_top.sub.leaf",
    )
    assert entry_point(module.work).module == "bundled_top.sub.leaf"
    assert set(files_of(bundle([module.work]))) == {
        "bundled_top/__init__.py",
        "bundled_top/sub/__init__.py",
        "bundled_top/sub/leaf.py",
    }


def test_namespace_packages_that_are_not_imported_yet_are_followed(project: Any) -> None:
    files = {
        "bundled_ns.py": (
            "def work():\n    from bundled_space.deep import inner\n    import bundled_gone.x"
        ),
        "bundled_space/deep/inner.py": "import bundled_space.deep.other.last",
        "bundled_space/deep/other/last.py": "",
    }
    packed = bundle([project(files, "bundled_ns").work])
    assert packed.modules == (
        "bundled_ns",
        "bundled_space.deep.inner",
        "bundled_space.deep.other.last",
    )


def test_modules_of_an_imported_package_are_found_where_its_folder_has_left_the_path(
    project: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    files = {
        "bundled_left/__init__.py": "",
        "bundled_left/main.py": "def work():\n    import bundled_left.parts.late",
        "bundled_left/parts/late.py": "",
    }
    work = project(files, "bundled_left.main").work
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry != str(tmp_path)])
    assert "bundled_left.parts.late" in bundle([work]).modules


def test_equal_code_gives_equal_bytes(project: Any, tmp_path: Path) -> None:
    module = project({"bundled_same.py": "def work(): ...\n"}, "bundled_same")
    first = bundle([module.work])
    (tmp_path / "bundled_same.py").touch()
    assert bundle([module.work]) == first
    (tmp_path / "bundled_same.py").write_text("def work(): return 2\n")
    assert bundle([module.work]).digest != first.digest


def test_installed_packages_stay_out() -> None:
    import small_flows

    packed = bundle([small_flows.double.task_function])
    assert packed.modules == ("small_flows",)


def test_function_of_an_installed_module_goes_along(
    project: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # An installed pipeline is not in SageMaker's image.
    purelib = {"purelib": str(tmp_path)}
    monkeypatch.setattr(sysconfig, "get_paths", lambda *_, **__: purelib)
    files = {
        "bundled_own.py": "import bundled_dependency\ndef work(): ...\n",
        "bundled_dependency.py": "",
    }
    installed = project(files, "bundled_own")
    assert bundle([installed.work]).modules == ("bundled_own",)


def test_the_shipped_example_is_user_code() -> None:
    from cdao_sdk.examples import credit_scoring

    packed = bundle([credit_scoring.train.task_function, credit_scoring.predict_fn])
    assert packed.modules == ("cdao_sdk.examples.credit_scoring",)


@pytest.mark.parametrize("as_module", [False, True], ids=["script", "python -m"])
def test_main_program_is_known_by_its_own_name(tmp_path: Path, as_module: bool) -> None:
    (tmp_path / "beside.py").write_text("")
    folder = tmp_path / "program" if as_module else tmp_path
    folder.mkdir(exist_ok=True)
    (folder / "__init__.py").write_text("")
    (folder / "flow.py").write_text(PROGRAM.format(imports="import beside"))
    how = ["-m", "program.flow"] if as_module else ["flow.py"]
    done = subprocess.run(
        [sys.executable, *how], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    module, function, modules = json.loads(done.stdout)
    assert (module, function) == ("program.flow" if as_module else "flow", "work")
    assert module in modules
    assert "beside" in modules


def test_file_that_cannot_be_parsed_is_named(project: Any, tmp_path: Path) -> None:
    module = project({"bundled_broken.py": "def work(): ...\n"}, "bundled_broken")
    (tmp_path / "bundled_broken.py").write_text("def work(:\n")
    with pytest.raises(PlanError, match=r"bundled_broken\.py cannot be parsed.*line 1"):
        bundle([module.work])


def test_function_without_a_source_file_is_refused() -> None:
    namespace: dict[str, Any] = {"__name__": "typed_into_nothing"}
    exec("def work(): ...", namespace)
    with pytest.raises(PlanError, match="'typed_into_nothing', which has no source file"):
        bundle([namespace["work"]])


def test_threads_may_bundle_at_the_same_time(project: Any) -> None:
    # ast.parse of CPython 3.11 fails in two threads at once.
    text = "def work(): return " + "(" * 60 + "1" + ")" * 60 + "\n" + "x = [1, 2, 3]\n" * 500
    module = project({"bundled_threads.py": text}, "bundled_threads")
    with ThreadPoolExecutor(8) as pool:
        digests = {packed.digest for packed in pool.map(bundle, [[module.work]] * 40)}
    assert len(digests) == 1


def test_code_too_large_for_a_job_is_refused(project: Any) -> None:
    module = project(
        {"bundled_large.py": "def work(): ...\n#" + "x" * (65 * 1024 * 1024)}, "bundled_large"
    )
    with pytest.raises(PlanError, match="67,108,864 go into a job at most") as caught:
        bundle([module.work])
    assert caught.value.problems == ("bundled_large.py: 68,157,457 bytes",)
