"""``container_image=ImageSpec(...)``: Flyte builds the image at registration, the job runs in it.

An ImageSpec's tag is a hash of what it contains. Registration without fast registration adds the
user's files to it, so the name is asked for when a template is made, not at decoration.
Sources: flytekit 1.16.31, ``core/python_auto_container.py`` and ``image_spec/image_spec.py``.
"""

# flytekit ships no type information: what comes from it is unknown to the checker.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, cast

from flytekit.core.context_manager import FlyteContextManager
from flytekit.core.python_auto_container import get_registerable_container_image
from flytekit.image_spec.image_spec import ImageSpec

from cdao_sdk.errors import SpecError
from cdao_sdk.kinds.build import build_spec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from flytekit.configuration import SerializationSettings

    from cdao_sdk.flyte.task import SageMakerTask
    from cdao_sdk.kinds.spec import JobSpec

__all__ = ["checked_spec", "name_in_local_run", "with_registered_image"]

_OPTIONS = ("container_image", "image_uri")


class _ImageSpec(Protocol):
    """flytekit's ImageSpec, as far as it is used here."""

    name: str
    registry: str | None

    def image_name(self) -> str: ...


def checked_spec(kind_name: str, options: Mapping[str, object]) -> tuple[JobSpec, ImageSpec | None]:
    """The spec of a decorator's options, which may hold an ImageSpec in the image's place.

    Args:
        kind_name: The kind of job.
        options: What the decorator was given.

    Returns:
        The spec, with the image's name as the ImageSpec stands now; and the ImageSpec, if any.

    Raises:
        SpecError: All that is wrong. An ImageSpec needs a registry: SageMaker pulls from there.
    """
    named = {**options}
    found: ImageSpec | None = None
    problems: list[str] = []
    for option in _OPTIONS:
        if isinstance(named.get(option), ImageSpec):
            found = named[option]
            image = cast("_ImageSpec", found)
            named[option] = image.image_name()
            problems += _problems(option, image)
    msg = f"{kind_name} task: its options are not valid"
    try:
        spec = build_spec(kind_name, named)
    except SpecError as error:
        if not problems:
            raise
        raise SpecError(msg, problems=[*problems, *error.problems]) from error
    if problems:
        raise SpecError(msg, problems=problems)
    return spec, found


def _problems(option: str, image: _ImageSpec) -> list[str]:
    if image.registry:
        return []
    text = (
        f"{option}=ImageSpec(name={image.name!r}) has no registry: the image would stay where it is"
        " built, and SageMaker could not pull it. Name one of Amazon ECR: ImageSpec(…,"
        " registry='123456789012.dkr.ecr.us-east-1.amazonaws.com')"
    )
    return [text]


def with_registered_image(
    task: SageMakerTask, spec: JobSpec, settings: SerializationSettings
) -> JobSpec:
    """The spec with the image's name as it is registered.

    flytekit builds an ImageSpec that its registry lacks; a run in this process builds nothing.
    Names of ``[images]`` in Flyte's configuration (``{{.image.mine.fqn}}``) are filled in too.

    Args:
        task: The task that is registered.
        spec: Its spec.
        settings: What flytekit registers with.
    """
    if isinstance(task.container_image, ImageSpec):
        name = task.get_image(settings)
    elif spec.container_image and "{{" in spec.container_image:
        name = cast(
            "str", get_registerable_container_image(spec.container_image, settings.image_config)
        )
    else:
        return spec
    return spec.model_copy(update={"container_image": name})


def name_in_local_run(image: object) -> str | None:
    """The name of an ImageSpec where nothing is built: in a run in this process, and in a plan.

    flytekit's builder must not be asked there: it would remember that it built nothing, and a
    registration later in the same process would build nothing either.

    Args:
        image: A task's ``container_image``.

    Returns:
        None where flytekit says: outside of such a run, and for what is no ImageSpec.
    """
    state = FlyteContextManager.current_context().execution_state
    if not isinstance(image, ImageSpec) or state is None or not state.is_local_execution():
        return None
    return cast("_ImageSpec", image).image_name()
