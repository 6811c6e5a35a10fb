"""What ``run()`` and ``plan()`` take: flytekit's entities, and their graphs."""

# flytekit ships no type information: what comes from it is unknown to the checker.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, cast

from cdao_sdk.errors import CdaoError, PlanError

if TYPE_CHECKING:
    from collections.abc import Generator

    from cdao_sdk.flyte.run_inputs import Entity

__all__ = ["compiling", "entity_of"]


def entity_of(value: object) -> Entity:
    """What the caller gave, if it is one of flytekit's entities.

    Raises:
        PlanError: It is not.
    """
    if not hasattr(value, "python_interface"):
        hint = " Decorate it with @sagemaker_workflow." if callable(value) else ""
        msg = f"{value!r} is neither a workflow nor a task.{hint}"
        raise PlanError(msg)
    return cast("Entity", value)


@contextlib.contextmanager
def compiling(entity: Entity) -> Generator[None]:
    """Say of whatever a workflow's own function raises that the workflow cannot be compiled.

    Raises:
        PlanError: It cannot be.
        CdaoError: An error of ours, as it is.
    """
    try:
        yield
    except CdaoError:
        raise
    except Exception as error:  # whatever the workflow's function raises
        msg = f"{entity.name} cannot be compiled: {type(error).__name__}: {error}"
        raise PlanError(msg) from error
