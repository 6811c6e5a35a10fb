"""The hosts of a training job in their instance groups, and how SageMaker describes them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cdao_sdk.local.execution.hosts import host_names
from cdao_sdk.local.execution.request import sections, text, whole

if TYPE_CHECKING:
    from cdao_sdk.local.execution.request import Document


@dataclass(frozen=True)
class InstanceGroup:
    """Hosts of one instance type."""

    name: str
    instance_type: str
    hosts: list[str]


def instance_groups(resources: Document) -> list[InstanceGroup]:
    """The groups of a ResourceConfig; a cluster without groups is one."""
    groups = sections(resources, "InstanceGroups") or [
        {
            "InstanceGroupName": "homogeneousCluster",
            "InstanceType": text(resources, "InstanceType"),
            "InstanceCount": whole(resources, "InstanceCount", 1),
        }
    ]
    names = iter(host_names(sum(whole(group, "InstanceCount", 1) for group in groups)))
    return [
        InstanceGroup(
            name=text(group, "InstanceGroupName"),
            instance_type=text(group, "InstanceType"),
            hosts=[next(names) for _ in range(whole(group, "InstanceCount", 1))],
        )
        for group in groups
    ]


def names_of(groups: list[InstanceGroup], chosen: list[str] | None = None) -> list[str]:
    """The hosts of all groups, or of those that are `chosen` by name."""
    return [name for group in groups if not chosen or group.name in chosen for name in group.hosts]


def resource_configuration(groups: list[InstanceGroup], host: str) -> dict[str, object]:
    """`resourceconfig.json` of one host."""
    own = next(group for group in groups if host in group.hosts)
    return {
        "current_host": host,
        "current_instance_type": own.instance_type,
        "current_group_name": own.name,
        "hosts": names_of(groups),
        "instance_groups": [
            {
                "instance_group_name": group.name,
                "instance_type": group.instance_type,
                "hosts": group.hosts,
            }
            for group in groups
        ],
        "network_interface_name": "lo",
    }
