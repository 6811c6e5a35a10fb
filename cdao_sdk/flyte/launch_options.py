"""How to start an execution, beside its inputs."""

from __future__ import annotations

import re
from dataclasses import dataclass

from cdao_sdk.errors import PlanError

__all__ = ["LaunchOptions", "check_version", "is_execution_id"]

# FlyteAdmin, pkg/manager/impl/validation/execution_validator.go
_ID = re.compile(r"[a-z][a-z0-9-]{0,62}")
_VERSION = re.compile(r"[A-Za-z0-9._\-]{1,128}")


def is_execution_id(text: str) -> bool:
    """Whether FlyteAdmin would take a text as an execution's id."""
    return _ID.fullmatch(text) is not None


def check_version(version: str | None) -> None:
    """Refuse a version that would not fit into an URL.

    Raises:
        PlanError: It does not.
    """
    if version is not None and not _VERSION.fullmatch(version):
        msg = f"version={version!r}: use letters, digits, '.', '_' and '-' (≤ 128)."
        raise PlanError(msg)


@dataclass(frozen=True)
class LaunchOptions:
    """How to start an execution.

    Attributes:
        name: Its id; None: one is made.
        version: The version to register; None: a hash of the content.
        overwrite_cache: Whether tasks compute anew what Flyte's cache has.
    """

    name: str | None = None
    version: str | None = None
    overwrite_cache: bool = False

    def check(self) -> None:
        """Refuse what FlyteAdmin would refuse.

        Raises:
            PlanError: The name or the version.
        """
        if self.name is not None and not is_execution_id(self.name):
            msg = f"name={self.name!r}: an id is 1-63 of a-z, 0-9 and '-', a letter first."
            raise PlanError(msg)
        check_version(self.version)
