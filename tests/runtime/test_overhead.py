"""What the runtime costs: it loads only what a job needs."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from conftest import Container

RUNNER = Path(__file__).parents[2] / "cdao_sdk" / "runtime" / "runner.py"


COSTLY = [
    "argparse",
    "asyncio",
    "inspect",
    "logging",
    "pathlib",
    "pickle",
    "random",
    "tempfile",
    "typing",
]


def test_costly_modules_are_not_loaded(container: Container) -> None:
    loaded = f"sorted(set({COSTLY}) & set(sys.modules))"
    done = container.call(
        f"""
        import atexit, sys
        from flytekit import task

        @task
        def step(depth: int) -> int:
            atexit.register(lambda: print("loaded", *{loaded}))
            return depth
        """,
        depth=6,
    )
    assert done.value == 6
    # An image's own .pth files may load some, as this environment's do.
    bare = subprocess.run(
        [container.python, "-c", f"import sys; print('loaded', *{loaded})"],
        env=container.environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == bare.stdout


def test_it_is_one_file_of_the_standard_library() -> None:
    source = RUNNER.read_text()
    imported = set(re.findall(r"^ *(?:import|from) (\w+)", source.split("INFERENCE")[0], re.M))
    ours_or_aws = {name for name in imported if name.startswith(("cdao", "flyte", "boto"))}
    assert ours_or_aws == {"boto3"}  # the image's own, in fetch_secret alone
    at_the_top = re.findall(r"^(?:import|from) (\w+)", source, re.M)
    assert "boto3" not in at_the_top
