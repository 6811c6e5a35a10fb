"""Make the tables of ``cdao_sdk/catalog`` from their sources. Part of every release.

    uv run --group images python scripts/generate_catalog.py
    git clone --depth 1 https://github.com/aws/deep-learning-containers /tmp/containers
    uv run --group images python scripts/generate_catalog.py --containers /tmp/containers

The first command writes ``images.json`` and ``instances.json``; the second ``support.json`` too.
``prices.json`` is kept by hand: no source can be read without an AWS account. The same sources give
the same files, byte for byte, but for the date (``--as-of`` sets it): look through the difference,
run ``pytest tests/catalog``, and write new versions into the changelog.

Sources, all of AWS or made from its API:

=================  ==============================================================================
images.json        ``image_uri_config`` of the installed sagemaker-core (or of ``--wheel``)
instances.json     botocore's service model (which types each kind of job offers), moto's copy of
                   EC2's DescribeInstanceTypes (vCPU, memory, GPUs), sagemaker-core (GPUs of old)
support.json       documentation data of aws/deep-learning-containers: end of patch by version
=================  ==============================================================================

What no source says in a form that can be read, the Python in some images, is listed here with where
it was found.
"""

from __future__ import annotations

import argparse
import datetime as dt
import gzip
import importlib.metadata
import importlib.resources
import io
import json
import re
import subprocess
import tarfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import botocore.loaders

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CATALOG = Path(__file__).resolve().parent.parent / "cdao_sdk" / "catalog"
CONFIG = "sagemaker/core/image_uri_config"

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

# Trainium and Inferentia have images of their own: file, scopes, how the tag names the chip.
# huggingface-neuronx has training images too, but sagemaker-core resolves none of them, and some of
# their tags differ from those that AWS's documentation lists.
NEURON = {
    "pytorch": ("pytorch-neuron", ["training"], "neuron"),
    "huggingface": ("huggingface-neuronx", ["inference"], "neuronx"),
}

# sagemaker-core, image_uris._get_image_tag: p4d instances get a later build of some old images.
P4D_BUILDS = {
    "pytorch-1.6-gpu-py3": "cu110-ubuntu18.04-v3",
    "pytorch-1.6-gpu-py36": "cu110-ubuntu18.04-v3",
    "pytorch-1.6.0-gpu-py3": "cu110-ubuntu18.04",
    "pytorch-1.6.0-gpu-py36": "cu110-ubuntu18.04",
    "tensorflow-1.15-gpu-py37": "cu110-ubuntu18.04-v8",
    "tensorflow-1.15.4-gpu-py37": "cu110-ubuntu18.04",
    "tensorflow-1.15.5-gpu-py37": "cu110-ubuntu18.04",
    "tensorflow-2.3-gpu-py37": "cu110-ubuntu18.04-v3",
    "tensorflow-2.3.1-gpu-py37": "cu110-ubuntu18.04",
    "tensorflow-2.3.2-gpu-py37": "cu110-ubuntu18.04",
}

# Folders of docs/src/data in aws/deep-learning-containers, and whose images they describe.
SUPPORTED = {
    "pytorch": [("pytorch", "training")],
    "pytorch-inference": [("pytorch", "inference")],
    "pytorch-training": [("pytorch", "training")],
    "sagemaker-scikit-learn": [("scikit-learn", "training"), ("scikit-learn", "inference")],
    "sagemaker-xgboost": [("xgboost", "training"), ("xgboost", "inference")],
    "tensorflow-inference": [("tensorflow", "inference")],
    "tensorflow-training": [("tensorflow", "training")],
}
# "Scikit-Learn 1.4-2 for Python 3.10 is no longer supported": said there without a date.
UNSUPPORTED = {"scikit-learn": ["1.4-2"]}
# include/release-cycle.json of python/devguide; PEP 619 and later give a month until it is over.
PYTHON_END_OF_LIFE = {
    "3.6": "2021-12-23",
    "3.7": "2023-06-27",
    "3.8": "2024-10-07",
    "3.9": "2025-10-31",
}

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
            self._add(name, scope, config if "scope" in config else config[scope])

    def add_neuron(self, name: str, config: dict[str, Any], scopes: list[str], chip: str) -> None:
        """Add the images of a framework for Trainium and Inferentia, as a scope of their own."""
        for scope in scopes:
            self._add(name, f"{scope}_neuron", config[scope], chip)

    def _add(self, name: str, scope: str, table: dict[str, Any], chip: str = "") -> None:
        target = self.images.setdefault(name, {}).setdefault(scope, {"aliases": {}})
        target["aliases"].update(table.get("version_aliases", {}))
        versions = target.setdefault("versions", {})
        for version, entry in table["versions"].items():
            python = None if chip else PYTHON.get(name, {}).get(version)
            image = self._image(entry, table.get("processors"), python, chip)
            if image is not None:
                versions[version] = image
        # "latest" moves, and for XGBoost it means the image of 2017.
        target["aliases"] = {
            alias: version
            for alias, version in target["aliases"].items()
            if version in versions and alias != "latest"
        }

    def _image(
        self, entry: dict[str, Any], processors: list[str] | None, python: str | None, chip: str
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
        if chip:
            (system,) = entry["container_version"].values()
            sdk = max(entry["sdk_versions"])
            optional["processors"] = ["neuron"]
            optional["container"] = {"neuron": f"{sdk}-{system}"}
            optional["chip"] = chip
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


def images(wheel: Path | None = None, *, as_of: str) -> dict[str, Any]:
    """The images' table.

    Args:
        wheel: A wheel of sagemaker-core; ``None`` takes the installed one.
        as_of: ISO date to write into it.
    """
    release, read = _wheel(wheel) if wheel else _installed()
    table = ImageTable()
    for name, files in [*FRAMEWORKS.items(), *((name, [name]) for name in ALGORITHMS)]:
        for file in files:
            table.add(name, json.loads(read(f"{CONFIG}/{file}.json")))
    for name, (file, scopes, chip) in NEURON.items():
        table.add_neuron(name, json.loads(read(f"{CONFIG}/{file}.json")), scopes, chip)
    return {
        "source": f"{release} image_uri_config; Python: {PYTHON_SOURCE}",
        "as_of": as_of,
        "dns_suffixes": _dns_suffixes(),
        "frameworks": sorted(FRAMEWORKS),
        "algorithms": sorted([*ALGORITHMS, "xgboost"]),
        "p4d_builds": P4D_BUILDS,
        "accounts": table.accounts,
        "images": table.images,
    }


def _installed() -> tuple[str, Callable[[str], str]]:
    distribution = importlib.metadata.distribution("sagemaker-core")

    def read(path: str) -> str:
        return Path(str(distribution.locate_file(path))).read_text(encoding="utf-8")

    return f"sagemaker_core-{distribution.version}", read


def _wheel(path: Path) -> tuple[str, Callable[[str], str]]:
    with zipfile.ZipFile(path) as archive:
        texts = {
            name: archive.read(name).decode()
            for name in archive.namelist()
            if name.startswith(CONFIG)
        }
    return path.name.split("-py3")[0], texts.__getitem__


def _dns_suffixes() -> dict[str, str]:
    """Partition's DNS suffix by the pattern of its regions."""
    partitions = botocore.loaders.Loader().load_data("partitions")["partitions"]
    return {p["regionRegex"]: p["outputs"]["dnsSuffix"] for p in partitions}


def instances(wheel: Path | None = None, *, as_of: str) -> dict[str, Any]:
    """The instance types' table.

    Args:
        wheel: A wheel of sagemaker-core; ``None`` takes the installed one.
        as_of: ISO date to write into it.
    """
    release, read = _wheel(wheel) if wheel else _installed()
    shapes = botocore.loaders.Loader().load_service_model("sagemaker", "service-2")["shapes"]
    offered: dict[str, dict[str, list[Any]]] = {}
    hardware = _gpus(json.loads(read(f"{CONFIG}/instance_gpu_info.json"))) | _hardware()
    for letter, enum in zip("tpb", INSTANCE_ENUMS.values(), strict=True):
        for name in shapes[enum]["enum"]:
            _, family, size = name.split(".")
            facts = hardware.get(f"{family}.{size}", [])
            entry = offered.setdefault(family, {}).setdefault(size, ["", *facts])
            entry[0] += letter
    return {
        "source": (
            f"botocore {importlib.metadata.version('botocore')} instance type enums; "
            f"moto {importlib.metadata.version('moto')} EC2 DescribeInstanceTypes; "
            f"{release} instance_gpu_info"
        ),
        "as_of": as_of,
        "kinds": dict(zip("tpb", INSTANCE_ENUMS, strict=True)),
        "columns": ["kinds", "vcpus", "memory_mib", "gpus", "gpu_name", "gpu_memory_mib"],
        "families": {family: offered[family] for family in sorted(offered)},
    }


def _gpus(by_region: dict[str, dict[str, dict[str, int]]]) -> dict[str, list[Any]]:
    """Number and memory of GPUs, for types that EC2 does not offer any more."""
    return {
        name.removeprefix("ml."): [
            *(None, None, facts["Count"], ""),
            facts["TotalGpuMemoryInMiB"] // facts["Count"],
        ]
        for types in by_region.values()
        for name, facts in types.items()
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


def support(clone: Path) -> dict[str, Any]:
    """The table of support, out of a clone of aws/deep-learning-containers, a bare one too."""
    ends: dict[str, dict[str, dict[str, str]]] = {}
    for owners, version, end in _ends(clone):
        for name, scope in owners:
            ends.setdefault(name, {}).setdefault(scope, {})[version] = end
    return {
        "source": (
            "github.com/aws/deep-learning-containers docs/src (end of patch); "
            "github.com/python/devguide release-cycle.json (end of life)"
        ),
        "as_of": _git(clone, "log", "-1", "--format=%cs").decode().strip(),
        "end_of_patch": {
            name: {
                scope: dict(sorted(dates.items(), key=_by_version)) for scope, dates in s.items()
            }
            for name, s in sorted(ends.items())
        },
        "unsupported": UNSUPPORTED,
        "python_end_of_life": PYTHON_END_OF_LIFE,
    }


def _ends(clone: Path) -> Iterator[tuple[list[tuple[str, str]], str, str]]:
    import yaml  # it comes with flytekit; only this table needs it

    archive = _git(clone, "archive", "HEAD", "docs/src/data", "docs/src/legacy")
    with tarfile.open(fileobj=io.BytesIO(archive)) as files:
        for member in sorted(files.getmembers(), key=lambda m: m.name):
            path = Path(member.name)
            content = files.extractfile(member)
            if content is None or path.suffix != ".yml":
                continue
            if path.parent.name == "legacy":
                for name, rows in yaml.safe_load(content).items():
                    owners = [(name, "training"), (name, "inference")]
                    yield from ((owners, str(row["version"]), str(row["eop"])) for row in rows)
            elif path.parent.name in SUPPORTED and path.stem.endswith("-sagemaker"):
                facts = yaml.safe_load(content)
                yield SUPPORTED[path.parent.name], str(facts["version"]), str(facts["eop"])


def _git(clone: Path, *arguments: str) -> bytes:
    command = ["git", "-C", str(clone), *arguments]
    return subprocess.run(command, check=True, capture_output=True).stdout


def _by_version(item: tuple[str, str]) -> list[int]:
    return [int(part) for part in re.findall(r"\d+", item[0])]


def text(table: dict[str, Any]) -> str:
    """A table as it is stored: a line for each entry, so that differences and file stay small."""
    lines: list[str] = []
    for key, value in table.items():
        if isinstance(value, (dict, list)) and len(value) > 5:
            lines.append(f"{json.dumps(key)}:{_block(value)}")
        else:
            lines.append(f"{json.dumps(key)}:{_compact(value)}")
    return "{\n" + ",\n".join(lines) + "\n}\n"


def _block(value: Any) -> str:
    if isinstance(value, list):
        return "[\n" + ",\n".join(_compact(item) for item in value) + "\n]"
    rows = [f"{json.dumps(key)}:{_compact(item)}" for key, item in value.items()]
    return "{\n" + ",\n".join(rows) + "\n}"


def _compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))


def main() -> None:
    """Write the tables."""
    parser = argparse.ArgumentParser(description="Make the tables of cdao_sdk/catalog.")
    parser.add_argument("--wheel", type=Path, help="wheel of sagemaker-core; else the installed")
    parser.add_argument(
        "--containers", type=Path, help="clone of aws/deep-learning-containers, for support.json"
    )
    today = dt.datetime.now(dt.timezone.utc).date().isoformat()
    parser.add_argument("--as-of", default=today, help="date to write (default: today)")
    arguments = parser.parse_args()
    tables = {
        "images": images(arguments.wheel, as_of=arguments.as_of),
        "instances": instances(arguments.wheel, as_of=arguments.as_of),
    }
    if arguments.containers:
        tables["support"] = support(arguments.containers)
    for name, table in tables.items():
        (CATALOG / f"{name}.json").write_text(text(table), encoding="utf-8")


if __name__ == "__main__":
    main()
