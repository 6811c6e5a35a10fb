"""`container_image=ImageSpec(...)`: built when it is registered, never when it runs here."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import pytest
from flytekit import ImageSpec
from flytekit.configuration import (
    FastSerializationSettings,
    Image,
    ImageConfig,
    SerializationSettings,
)
from flytekit.image_spec.image_spec import ImageBuildEngine, ImageSpecBuilder
from flytekit.tools.translator import get_serializable

import cdao_sdk
from cdao_sdk import SpecError, sagemaker_processing_task, sagemaker_training_task

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

REGISTRY = "123456789012.dkr.ecr.us-east-1.amazonaws.com"


class RecordingBuilder(ImageSpecBuilder):
    """Builds nothing, and says what it was asked to build; whatever it is asked for is missing."""

    def __init__(self) -> None:
        self.built: list[str] = []

    def should_build(self, image_spec: ImageSpec) -> bool:
        return bool(image_spec.registry)

    def build_image(self, image_spec: ImageSpec) -> str:
        self.built.append(image_spec.image_name())
        return f"{image_spec.image_name()}-real"


@pytest.fixture
def builder() -> Iterator[RecordingBuilder]:
    recording = RecordingBuilder()
    ImageBuildEngine.register("recording", recording)
    yield recording
    del ImageBuildEngine._REGISTRY["recording"]
    ImageBuildEngine._IMAGE_NAME_TO_REAL_NAME.clear()
    ImageBuildEngine.build.cache_clear()


@pytest.fixture
def flow(builder: RecordingBuilder) -> Any:
    import image_flow

    return image_flow


def template(task: Any, **more: Any) -> Any:
    """What `pyflyte register` sends."""
    settings = SerializationSettings(
        image_config=ImageConfig(default_image=Image("default", "flyte/default", tag="1"), **more),
        fast_serialization_settings=FastSerializationSettings(
            enabled=True, distribution_location="s3://bucket/code.tar.gz"
        ),
    )
    return get_serializable(OrderedDict(), settings, task).template


@pytest.mark.parametrize("name", ["count", "double"])
def test_registration_builds_it_and_the_job_runs_in_what_was_built(
    flow: Any, builder: RecordingBuilder, name: str
) -> None:
    assert builder.built == []
    registered = template(getattr(flow, name))
    (built,) = builder.built
    assert built.startswith(f"{REGISTRY}/scoring:")
    assert registered.custom["spec"]["container_image"] == f"{built}-real"
    assert registered.container.image == f"{built}-real"


def test_it_is_built_once_for_all_tasks(flow: Any, builder: RecordingBuilder) -> None:
    template(flow.count)
    template(flow.double)
    assert len(builder.built) == 1


def test_run_in_this_process_names_it_and_builds_nothing(
    on_embedded: Path, flow: Any, boto: Any, builder: RecordingBuilder
) -> None:
    execution = cdao_sdk.run(flow.counted, {"text": "four"}).wait(timeout=60)
    assert execution.outputs["o0"] == 8
    assert builder.built == []
    job = execution.jobs()[0]
    described = boto("sagemaker").describe_processing_job(ProcessingJobName=job.name)
    assert described["AppSpecification"]["ImageUri"] == flow.image.image_name()


def test_registration_after_a_run_in_the_same_process_builds_it(
    on_embedded: Path, flow: Any, builder: RecordingBuilder
) -> None:
    cdao_sdk.run(flow.counted, {"text": "four"}).wait(timeout=60)
    template(flow.count)
    assert len(builder.built) == 1


def stub(text: str) -> str: ...


def test_without_registry_sagemaker_could_not_pull_it() -> None:
    image = ImageSpec(name="mine", packages=["pandas"])
    with pytest.raises(SpecError, match=r"ImageSpec\(name='mine'\) has no registry.*Amazon ECR"):
        sagemaker_processing_task(container_image=image)(stub)


def test_every_problem_is_told_at_once() -> None:
    with pytest.raises(SpecError) as caught:
        sagemaker_training_task(image_uri=ImageSpec(name="mine"), instance_count=0)(stub)
    text = str(caught.value)
    assert "image_uri=ImageSpec(name='mine') has no registry" in text
    assert "instance_count=0" in text


def test_image_of_flytes_configuration_is_filled_in() -> None:
    @sagemaker_processing_task(container_image="{{.image.mine.fqn}}:{{.image.mine.version}}")
    def count(text: str) -> int:
        return len(text)

    mine = Image("mine", f"{REGISTRY}/mine", tag="7")
    registered = template(count, images=[mine])
    assert registered.custom["spec"]["container_image"] == f"{REGISTRY}/mine:7"
