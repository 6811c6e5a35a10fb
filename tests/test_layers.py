"""The layer rule of docs/architecture.md."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_modules_import_downwards_only() -> None:
    linter = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([linter], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_every_init_defines_nothing() -> None:
    for path in (ROOT / "cdao_sdk").rglob("__init__.py"):
        text = path.read_text()
        assert not any(line.startswith(("def ", "class ")) for line in text.splitlines()), path
