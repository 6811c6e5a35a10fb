"""Import time and the command's help, beside flytekit's import."""

from __future__ import annotations

from pathlib import Path

from benchmarks.measure import PYTHON, Row, in_turns, milliseconds


def rows() -> list[Row]:
    """Three processes in turns; the bare interpreter's own start is taken off all of them."""
    medians = in_turns(
        {
            "bare": [PYTHON, "-c", "pass"],
            "cdao": [PYTHON, "-c", "import cdao_sdk"],
            "help": [str(Path(PYTHON).with_name("cdao")), "--help"],
            "flytekit": [PYTHON, "-c", "import flytekit"],
        }
    )
    bare, flytekit = medians["bare"], medians["flytekit"] - medians["bare"]
    cdao, help_page = medians["cdao"] - bare, medians["help"] - bare
    beside = f"`import flytekit`: {milliseconds(flytekit)}"
    return [
        Row(
            "`import cdao_sdk`",
            milliseconds(cdao),
            beside,
            f"1/{flytekit / cdao:.0f}",
            "≤ 1/20",
        ),
        Row(
            "`cdao --help`",
            milliseconds(help_page),
            beside,
            f"1/{flytekit / help_page:.1f}",
            "≤ 1/5",
        ),
    ]
