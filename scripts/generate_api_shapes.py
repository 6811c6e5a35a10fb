"""Writes what the library knows of SageMaker's requests, from botocore's service model.

    python scripts/generate_api_shapes.py

writes ``cdao_sdk/catalog/sagemaker_api.json`` and the tables of ``docs/fields.md``. Run it after
an update of botocore; a test fails while the files differ from the installed one.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import botocore
import botocore.loaders

ROOT = Path(__file__).parent.parent
TABLE = ROOT / "cdao_sdk/catalog/sagemaker_api.json"
DOCUMENT = ROOT / "docs/fields.md"
OPERATIONS = ("CreateTrainingJob", "CreateProcessingJob", "CreateModel", "CreateTransformJob")
API_VERSION = "2017-07-24"

# New instance types come often, and the catalog of instances knows them.
_OPEN_ENUMS = {"TrainingInstanceType", "ProcessingInstanceType", "TransformInstanceType"}
_JAVA_CLASSES = {r"\p{Alnum}": "A-Za-z0-9"}


def api_table() -> dict[str, Any]:
    """The shapes of the operations' requests, without documentation."""
    model = botocore.loaders.Loader().load_service_model("sagemaker", "service-2", API_VERSION)
    shapes: dict[str, Any] = {}
    roots = {name: model["operations"][name]["input"]["shape"] for name in OPERATIONS}
    for root in roots.values():
        _gather(model["shapes"], root, shapes)
    return {
        "source": f"botocore, sagemaker/{API_VERSION}/service-2.json",
        "as_of": API_VERSION,
        "operations": roots,
        "shapes": dict(sorted(shapes.items())),
    }


def _gather(model: dict[str, Any], name: str, shapes: dict[str, Any]) -> None:
    if name in shapes:
        return
    shape = model[name]
    kept = {key: shape[key] for key in ("type", "required", "min", "max", "union") if key in shape}
    if "enum" in shape and name not in _OPEN_ENUMS:
        kept["enum"] = shape["enum"]
    pattern = _python_pattern(shape.get("pattern", ""))
    if pattern:
        kept["pattern"] = pattern
    shapes[name] = kept
    inner = {key: shape[key]["shape"] for key in ("member", "key", "value") if key in shape}
    members = {member: item["shape"] for member, item in shape.get("members", {}).items()}
    kept.update(inner)
    if shape["type"] == "structure":
        kept["members"] = members
    for each in (*inner.values(), *members.values()):
        _gather(model, each, shapes)


def _python_pattern(pattern: str) -> str:
    """Java's pattern as Python writes it; empty where it says nothing, or Python cannot."""
    for java, python in _JAVA_CLASSES.items():
        pattern = pattern.replace(java, python)
    try:
        re.compile(pattern)
    except re.error:
        return ""
    return pattern


def document(text: str) -> str:
    """``docs/fields.md`` with its tables made anew; what stands between them is kept."""
    from cdao_sdk.kinds.field_owners import described

    for operation in OPERATIONS:
        rows = [f"| `{field}` | {owner} |" for field, owner in described(operation)]
        made = "\n".join(["| SageMaker | here |", "|---|---|", *rows])
        begin, end = f"<!-- {operation} -->", f"<!-- end of {operation} -->"
        block = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
        text = block.sub(lambda _, b=begin, m=made, e=end: f"{b}\n{m}\n{e}", text)
    return text


def main() -> None:
    """Write both files."""
    TABLE.write_text(json.dumps(api_table(), separators=(",", ":")) + "\n")
    DOCUMENT.write_text(document(DOCUMENT.read_text()))


if __name__ == "__main__":
    main()
