"""The catalog of cached outputs: what DataCatalog knows, in memory."""

from __future__ import annotations

from dataclasses import dataclass, field

from flyteidl.core import literals_pb2, tasks_pb2


@dataclass
class Catalog:
    """Outputs by task, cache version, interface and inputs."""

    entries: dict[tuple[bytes, ...], literals_pb2.LiteralMap] = field(default_factory=dict)

    def get(
        self, template: tasks_pb2.TaskTemplate | None, inputs: literals_pb2.LiteralMap
    ) -> literals_pb2.LiteralMap | None:
        """What is known; None: nothing, or the task is not cached."""
        return self.entries.get(_key(template, inputs)) if is_cached(template) else None

    def put(
        self,
        template: tasks_pb2.TaskTemplate | None,
        inputs: literals_pb2.LiteralMap,
        outputs: literals_pb2.LiteralMap,
    ) -> None:
        if is_cached(template):
            self.entries[_key(template, inputs)] = outputs


def is_cached(template: tasks_pb2.TaskTemplate | None) -> bool:
    return template is not None and template.metadata.discoverable


def _key(
    template: tasks_pb2.TaskTemplate | None, inputs: literals_pb2.LiteralMap
) -> tuple[bytes, ...]:
    assert template is not None
    seen = literals_pb2.LiteralMap()
    for name, literal in inputs.literals.items():
        if name not in template.metadata.cache_ignore_input_vars:
            seen.literals[name].CopyFrom(literal)
    identifier = f"{template.id.project}:{template.id.domain}:{template.id.name}"
    parts = (template.interface, seen)
    return (
        identifier.encode(),
        template.metadata.discovery_version.encode(),
        *(part.SerializeToString(deterministic=True) for part in parts),
    )
