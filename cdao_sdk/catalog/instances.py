"""Instance types: which job kinds SageMaker offers them for, and what is in them."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from typing import cast

from cdao_sdk.catalog.tables import table

# EC2's naming: a d after the generation is instance storage ("Amazon EC2 instance type naming
# conventions"); the others are from EC2's tables of "Instance store volumes" of these families.
_STORAGE_BY_NAME = re.compile(r"[a-z]+\d[a-z]*d[a-z]*")
_STORAGE_BY_TABLE = ("g5", "g6", "g6e", "p5", "p5e", "p5en")


@dataclass(frozen=True)
class Instance:
    """One instance type.

    Attributes:
        name: Such as ``"ml.g5.2xlarge"``.
        components: Job kinds that may use it: ``"training"``, ``"processing"``, ``"transform"``.
        vcpus: Virtual CPUs; ``None`` if no source says.
        memory_gib: Memory in GiB; ``None`` if no source says.
        gpus: Number of GPUs; ``None`` if no source says.
        gpu_name: Such as ``"A10G"``; empty without a GPU, or if no source says.
        gpu_memory_gib: Memory of one GPU in GiB; ``None`` without a GPU, or if no source says.
    """

    name: str
    components: tuple[str, ...]
    vcpus: int | None = None
    memory_gib: float | None = None
    gpus: int | None = None
    gpu_name: str = ""
    gpu_memory_gib: float | None = None


def instance(name: str) -> Instance | None:
    """What is known of an instance type, or ``None`` if it is in no table.

    Example:
        >>> instance("ml.m5.xlarge").vcpus
        4
    """
    return _instances().get(name)


def instance_types(component: str) -> tuple[str, ...]:
    """Names of all instance types that a job kind may use, sorted."""
    return tuple(sorted(i.name for i in _instances().values() if component in i.components))


def is_known_family(name: str) -> bool:
    """Whether the table knows any size of this type's family (``m5`` in ``ml.m5.xlarge``)."""
    return family(name) in table("instances")["families"]


def family(name: str) -> str:
    """The family of an instance type: ``"m5"`` of ``"ml.m5.xlarge"``; empty if there is none."""
    parts = name.split(".")
    return parts[1] if len(parts) == 3 else ""


def processor(name: str) -> str:
    """What an image for this type must be built for: ``"cpu"``, ``"gpu"`` or ``"neuron"``.

    SageMaker's own rule: families whose name begins with g or p have GPUs, trn and inf have
    Neuron chips. It holds for types that are newer than the table.
    """
    name_family = family(name)
    if name_family.startswith(("trn", "inf")):
        return "neuron"
    return "gpu" if name_family.startswith(("g", "p")) else "cpu"


def has_local_storage(name: str) -> bool:
    """Whether an instance type is known to have disks of its own, which take EBS's place.

    Example:
        >>> has_local_storage("ml.g4dn.xlarge"), has_local_storage("ml.m5.xlarge")
        (True, False)
    """
    name_family = family(name)
    return name_family in _STORAGE_BY_TABLE or bool(_STORAGE_BY_NAME.fullmatch(name_family))


@functools.cache
def _instances() -> dict[str, Instance]:
    data = table("instances")
    kinds: dict[str, str] = data["kinds"]
    families: dict[str, dict[str, list[object]]] = data["families"]
    return {
        name: _instance(name, row, kinds)
        for family_name, sizes in families.items()
        for name, row in ((f"ml.{family_name}.{size}", row) for size, row in sizes.items())
    }


def _instance(name: str, row: list[object], kinds: dict[str, str]) -> Instance:
    components = tuple(kinds[letter] for letter in cast("str", row[0]))
    if len(row) == 1:
        return Instance(name, components)
    vcpus, memory_mib = cast("list[int | None]", row[1:3])
    memory_gib = memory_mib / 1024 if memory_mib is not None else None
    if len(row) == 3:
        return Instance(name, components, vcpus, memory_gib, gpus=0)
    gpus, gpu_name, gpu_memory_mib = cast("tuple[int, str, int]", tuple(row[3:6]))
    return Instance(name, components, vcpus, memory_gib, gpus, gpu_name, gpu_memory_mib / 1024)
