"""Make the tables of ``cdao_sdk/catalog`` from their sources. Run before a release.

    pip download sagemaker-core --no-deps -d /tmp/sagemaker-core
    python scripts/generate_catalog.py --wheel /tmp/sagemaker-core/sagemaker_core-*.whl

Sources: botocore's service model (which instance types each kind offers), moto's copy of EC2's
DescribeInstanceTypes (vCPU, memory, GPUs), sagemaker-core's ``image_uri_config`` (images). What no
source says, the Python version in some images, is listed here with where it was found.
"""

from __future__ import annotations

import argparse
import datetime as dt
import gzip
import importlib.metadata
import importlib.resources
import json
import re
import zipfile
from pathlib import Path
from typing import Any

import botocore.loaders

CATALOG = Path(__file__).resolve().parent.parent / "cdao_sdk" / "catalog"

INSTANCE_ENUMS = {
    "training": "TrainingInstanceType",
    "processing": "ProcessingInstanceType",
    "transform": "TransformInstanceType",
}

# Files of image_uri_config for each name that a spec may use; later files add versions.
FRAMEWORKS = {
    "huggingface": ["huggingface"],
    "pytorch": ["pytorch", "pytorch-amzn2023"],
    "scikit-learn": ["sklearn"],
    "tensorflow": ["tensorflow"],
    "xgboost": ["xgboost"],
}
ALGORITHMS = [
    "blazingtext",
    "factorization-machines",
    "forecasting-deepar",
    "image-classification",
    "ipinsights",
    "kmeans",
    "knn",
    "lda",
    "linear-learner",
    "ntm",
    "object-detection",
    "object2vec",
    "pca",
    "randomcutforest",
    "semantic-segmentation",
    "seq2seq",
]

# Seen in the images or their Dockerfiles in November 2026; the tables only say "py3" or nothing.
PYTHON = {
    "scikit-learn": {
        "0.23-1": "3.7",
        "1.0-1": "3.8",
        "1.2-1": "3.9",
        "1.4-2": "3.10",
        "1.4-2-py312": "3.12",
        "1.9-0": "3.12",
    },
    "xgboost": {
        "1.2-1": "3.7",
        "1.3-1": "3.7",
        "1.5-1": "3.8",
        "3.0-5": "3.10",
        "3.2-0": "3.12",
    },
    "pytorch": {"2.11": "3.12", "2.12": "3.12", "2.13": "3.12"},
}
PYTHON_SOURCE = "images and Dockerfiles of AWS, November 2026"


class ImageTable:
    """Collects images; equal account tables are stored once."""

    def __init__(self) -> None:
        self.accounts: list[dict[str, str]] = []
        self.images: dict[str, dict[str, Any]] = {}

    def add(self, name: str, config: dict[str, Any]) -> None:
        """Add one file of image_uri_config under a name."""
        scopes = config.get("scope") or [s for s in ("training", "inference") if s in config]
        for scope in scopes:
            table = config if "scope" in config else config[scope]
            target = self.images.setdefault(name, {}).setdefault(scope, {"aliases": {}})
            target["aliases"].update(table.get("version_aliases", {}))
            versions = target.setdefault("versions", {})
            for version, entry in table["versions"].items():
                image = self._image(
                    entry, table.get("processors"), PYTHON.get(name, {}).get(version)
                )
                if image is not None:
                    versions[version] = image
            # "latest" moves, and for XGBoost it means the image of 2017.
            target["aliases"] = {
                alias: version
                for alias, version in target["aliases"].items()
                if version in versions and alias != "latest"
            }

    def _image(
        self, entry: dict[str, Any], processors: list[str] | None, python: str | None
    ) -> dict[str, Any] | None:
        base = ""
        if "repository" not in entry:  # nested: by Python tag, or by base framework (HuggingFace)
            base, entry = _newest_nested(entry)
        tags = [tag for tag in entry.get("py_versions", []) if tag != "py2"]
        if "py_versions" in entry and not tags:
            return None  # Python 2 only: nothing of ours runs there
        image: dict[str, Any] = {
            "repository": entry["repository"],
            "accounts": self._accounts(entry["registries"]),
        }
        optional = {
            "python_tags": tags,
            "python": python,
            "processors": processors or entry.get("processors"),
            "container": entry.get("container_version"),
            "tag": entry.get("tag_prefix"),
            "base": base,
            "processor_in_tag": entry.get("processor_in_tag"),
        }
        image.update({key: value for key, value in optional.items() if value not in (None, "", [])})
        if "container" in image and "processors" in image:
            image["processors"] = [p for p in image["processors"] if p in image["container"]]
        return image

    def _accounts(self, registries: dict[str, str]) -> int:
        table = dict(sorted(registries.items()))
        if table not in self.accounts:
            self.accounts.append(table)
        return self.accounts.index(table)


def _newest_nested(entry: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    if "py3" in entry:
        return "", {**entry["py3"], "py_versions": ["py3"]}
    bases = [key for key in entry if key.startswith("pytorch")]
    newest = max(bases, key=lambda key: [int(part) for part in re.findall(r"\d+", key)])
    return newest, entry[newest]


def images(wheel: Path) -> dict[str, Any]:
    """The images' table out of a wheel of sagemaker-core."""
    table = ImageTable()
    with zipfile.ZipFile(wheel) as archive:
        for name, files in [*FRAMEWORKS.items(), *((name, [name]) for name in ALGORITHMS)]:
            for file in files:
                path = f"sagemaker/core/image_uri_config/{file}.json"
                table.add(name, json.loads(archive.read(path)))
    return {
        "source": f"{wheel.name.split('-py3')[0]} image_uri_config; Python: {PYTHON_SOURCE}",
        "as_of": _today(),
        "dns_suffixes": _dns_suffixes(),
        "frameworks": sorted(FRAMEWORKS),
        "algorithms": sorted([*ALGORITHMS, "xgboost"]),
        "accounts": table.accounts,
        "images": table.images,
    }


def _dns_suffixes() -> dict[str, str]:
    """Partition's DNS suffix by the pattern of its regions."""
    partitions = botocore.loaders.Loader().load_data("partitions")["partitions"]
    return {p["regionRegex"]: p["outputs"]["dnsSuffix"] for p in partitions}


def instances() -> dict[str, Any]:
    """The instance types' table."""
    shapes = botocore.loaders.Loader().load_service_model("sagemaker", "service-2")["shapes"]
    offered: dict[str, dict[str, list[Any]]] = {}
    hardware = _hardware()
    for letter, enum in zip("tpb", INSTANCE_ENUMS.values(), strict=True):
        for name in shapes[enum]["enum"]:
            _, family, size = name.split(".")
            facts = hardware.get(f"{family}.{size}", [])
            entry = offered.setdefault(family, {}).setdefault(size, ["", *facts])
            entry[0] += letter
    return {
        "source": (
            f"botocore {importlib.metadata.version('botocore')} instance type enums; "
            f"moto {importlib.metadata.version('moto')} EC2 DescribeInstanceTypes"
        ),
        "as_of": _today(),
        "kinds": dict(zip("tpb", INSTANCE_ENUMS, strict=True)),
        "columns": ["kinds", "vcpus", "memory_mib", "gpus", "gpu_name", "gpu_memory_mib"],
        "families": {family: offered[family] for family in sorted(offered)},
    }


def _hardware() -> dict[str, list[Any]]:
    resource = importlib.resources.files("moto") / "ec2/resources/instance_types.json.gz"
    with resource.open("rb") as file, gzip.open(file) as content:
        types: dict[str, Any] = json.load(content)
    table: dict[str, list[Any]] = {}
    for name, facts in types.items():
        row = [facts["VCpuInfo"]["DefaultVCpus"], facts["MemoryInfo"]["SizeInMiB"]]
        gpu = (facts.get("GpuInfo") or {"Gpus": []})["Gpus"]
        if gpu:
            row += [gpu[0]["Count"], gpu[0]["Name"], gpu[0]["MemoryInfo"]["SizeInMiB"]]
        table[name] = row
    return table


def _today() -> str:
    return dt.datetime.now(dt.timezone.utc).date().isoformat()


def _write(name: str, table: dict[str, Any]) -> None:
    """One line a top-level key, and a line for each entry below it: small diffs, small file."""
    lines = []
    for key, value in table.items():
        if isinstance(value, (dict, list)) and len(value) > 5:
            lines.append(f"{json.dumps(key)}:{_block(value)}")
        else:
            lines.append(f"{json.dumps(key)}:{_compact(value)}")
    (CATALOG / name).write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


def _block(value: Any) -> str:
    if isinstance(value, list):
        return "[\n" + ",\n".join(_compact(item) for item in value) + "\n]"
    rows = [f"{json.dumps(key)}:{_compact(item)}" for key, item in value.items()]
    return "{\n" + ",\n".join(rows) + "\n}"


def _compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))


def main() -> None:
    """Write both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--wheel", type=Path, required=True, help="a wheel of sagemaker-core")
    arguments = parser.parse_args()
    _write("images.json", images(arguments.wheel))
    _write("instances.json", instances())


if __name__ == "__main__":
    main()
