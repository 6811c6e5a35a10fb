from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import botocore.loaders
import botocore.model
import botocore.validate
import planned_flows as flows
import pytest
import small_flows
from flytekit import ImageSpec
from flytekit.image_spec.image_spec import ImageBuildEngine, ImageSpecBuilder

import cdao_sdk
from cdao_sdk._plan import plan_any_inputs
from cdao_sdk.errors import ConfigurationError, PlanError
from cdao_sdk.flyte.planning.costs import most
from cdao_sdk.kinds.build import build_spec

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from cdao_sdk.flyte.planning.values import Plan

DATA = "s3://bucket/raw.csv"


def faults(plan: Plan) -> list[str]:
    """What botocore would refuse in a plan's requests."""
    loaded = botocore.loaders.Loader().load_service_model("sagemaker", "service-2")
    service = botocore.model.ServiceModel(loaded)
    validator = botocore.validate.ParamValidator()
    return [
        validator.validate(call.parameters, service.operation_model(call.operation).input_shape)
        .generate_report()
        for job in plan.jobs
        for call in job.requests
    ]  # fmt: skip


def test_requests_are_those_of_the_run(on_embedded: Path, boto: Callable[..., Any]) -> None:
    execution = cdao_sdk.run(small_flows.doubling, inputs={"number": 4})
    execution.wait(timeout=60)
    planned = cdao_sdk.plan(small_flows.doubling, inputs={"number": 4}, name=execution.id)
    [job] = planned.jobs
    [call] = job.requests
    described = boto("sagemaker").describe_processing_job(ProcessingJobName=job.job_name)
    sent = {name: value for name, value in call.parameters.items() if name != "Tags"}
    assert call.operation == "CreateProcessingJob"
    assert {name: described[name] for name in sent} == sent
    for uri in job.objects:
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        assert boto("s3").head_object(Bucket=bucket, Key=key)["ContentLength"] > 0


def test_nothing_is_started_uploaded_or_asked(tmp_path: Path) -> None:
    data = tmp_path / "raw.csv"
    data.write_text("a,b\n1,2\n")
    settings = cdao_sdk.configure(endpoint_url="http://127.0.0.1:9")  # nobody listens
    planned = cdao_sdk.plan(flows.pipeline, inputs={"data": str(data)})
    assert list(planned.uploads) == [str(data)]
    [channel] = [c for c in planned.jobs[0].channels if not c.is_ours]
    assert channel.source == planned.uploads[str(data)]
    assert channel.source.startswith("s3://cdao-local/cdao/flytesnacks/development/execution/data/")
    assert not settings.state_path.exists()


def test_what_a_step_puts_out_is_a_readable_placeholder() -> None:
    planned = cdao_sdk.plan(flows.pipeline, inputs={"data": DATA})
    _, fit, predict = planned.jobs
    assert fit.channels[0].source == "s3://<bucket>/<output o0 of n0>"
    assert {p.name: (p.becomes, p.value) for p in fit.parameters} == {
        "train": ("channel", "<output o0 of n0>"),
        "depth": ("value", "6"),
    }
    assert all(parameter.why for job in planned.jobs for parameter in job.parameters)
    assert {c.name for c in predict.channels} == {"model", "input"}
    assert [report for report in faults(planned) if report] == []


def test_a_model_and_its_image_follow_from_the_training_job() -> None:
    _, fit, predict = cdao_sdk.plan(flows.pipeline, inputs={"data": DATA}).jobs
    model = predict.requests[0].parameters["PrimaryContainer"]
    assert isinstance(model, dict)
    job = f"{fit.outputs[0]}/{fit.job_name}"
    assert model["ModelDataUrl"] == f"{job}/output/data/cdao/model.tar.gz"
    assert (predict.image.name, predict.image.python) == ("scikit-learn", "3.12")


def test_what_an_algorithm_makes_is_known_exactly() -> None:
    boost, score = cdao_sdk.plan(flows.boosted, inputs={"data": DATA}).jobs
    model = score.requests[0].parameters["PrimaryContainer"]
    assert isinstance(model, dict)
    assert model["ModelDataUrl"] == f"{boost.outputs[0]}/{boost.job_name}/output/model.tar.gz"
    assert boost.hyperparameters["max_depth"] == "3"


def test_a_model_that_nobody_knows_yet_is_an_open_step() -> None:
    planned = cdao_sdk.plan(flows.chosen, inputs={"data": DATA})
    assert planned.jobs == ()
    assert [(s.name, s.is_open) for s in planned.others] == [("choose", False), ("score", True)]
    assert "<output o0 of n0>" in planned.others[1].why
    assert planned.unpriced == (f"n1 score: {planned.others[1].why}",)


def test_of_a_conditional_the_dearest_case_counts() -> None:
    planned = cdao_sdk.plan(flows.one_of_two, inputs={"data": DATA, "depth": 1})
    assert [job.condition for job in planned.jobs] == ["if depth > 3", "else"]
    assert planned.jobs[0].cost.usd == pytest.approx(3 * 0.115)  # 1 h, 3 attempts
    assert planned.max_usd == planned.jobs[0].cost.usd


@pytest.mark.parametrize(
    ("workflow", "inputs", "elements"),
    [(flows.squares, {"numbers": [1, 2, 3]}, 3), (flows.squares_of_later, {"numbers": 3}, None)],
)
def test_a_map_is_one_job_for_each_element(
    workflow: Any, inputs: dict[str, object], elements: int | None
) -> None:
    jobs = {job.function: job for job in cdao_sdk.plan(workflow, inputs=inputs).jobs}
    assert jobs["square"].elements == elements
    assert jobs["total"].elements == 1


def test_jobs_inside_maps_and_conditionals_are_named_as_in_a_run(
    on_embedded: Path, boto: Callable[..., Any]
) -> None:
    for workflow, inputs in (
        (flows.squares, {"numbers": [3]}),
        (small_flows.branching, {"number": 3}),
    ):
        execution = cdao_sdk.run(workflow, inputs=inputs)
        execution.wait(timeout=60)
        ran = {job.name for job in execution.jobs()}
        planned = cdao_sdk.plan(workflow, inputs=inputs, name=execution.id)
        assert {job.job_name for job in planned.jobs} == ran


def test_an_interruptible_task_is_planned_on_spot() -> None:
    [job] = cdao_sdk.plan(flows.cheap, inputs={"data": DATA}).jobs
    assert job.spot
    assert job.requests[0].parameters["EnableManagedSpotTraining"] is True


def test_a_map_over_nothing_makes_no_job() -> None:
    planned = cdao_sdk.plan(flows.squares, inputs={"numbers": []})
    assert [job.function for job in planned.jobs] == ["total"]


def test_a_dynamic_step_is_decided_at_run_time() -> None:
    planned = cdao_sdk.plan(flows.undecided, inputs={"number": 1})
    assert [job.function for job in planned.jobs] == ["square"]
    assert [(s.node, s.name, s.is_open) for s in planned.others] == [("n1", "later", True)]


def test_nodes_of_workflows_inside_are_named_as_in_a_run() -> None:
    planned = cdao_sdk.plan(small_flows.nested, inputs={"number": 1})
    assert [job.node for job in planned.jobs] == ["n0-n1", "n0-n2", "n1-n0"]


@pytest.mark.parametrize(
    ("workflow", "inputs"),
    [
        (small_flows.attributes, {"x": 1}),
        (small_flows.files_flow, {"text": "a"}),
        (small_flows.handled_branching, {"text": "a"}),
        (small_flows.imperative, {"number": 1}),
        (small_flows.gathered, {"x": 2}),
        (small_flows.frames_flow, {"rows": 2}),
        (small_flows.fixed_plan, {}),
        (small_flows.double, {"number": 2}),
    ],
)
def test_every_shape_of_workflow_gives_valid_requests_and_json(
    workflow: Any, inputs: dict[str, object]
) -> None:
    planned = cdao_sdk.plan(workflow, inputs=inputs)
    assert planned.jobs
    assert [report for report in faults(planned) if report] == []
    document = planned.to_json()
    assert json.loads(json.dumps(document)) == document
    with_placeholders = plan_any_inputs(workflow)
    assert [j.node for j in with_placeholders.jobs] == [j.node for j in planned.jobs]


def test_everything_that_does_not_fit_is_said_at_once() -> None:
    inputs = {"first": "/tmp/a.csv", "second": "b.csv"}
    with pytest.raises(PlanError) as caught:
        cdao_sdk.plan(flows.two_wrong_places, inputs=inputs)
    assert len(caught.value.problems) == 2
    assert "'/tmp/a.csv'" in str(caught.value)
    assert "'b.csv'" in str(caught.value)


def test_inputs_are_checked_as_for_a_run() -> None:
    with pytest.raises(PlanError, match="data: missing"):
        cdao_sdk.plan(flows.pipeline)
    with pytest.raises(PlanError, match="neither a workflow nor a task"):
        cdao_sdk.plan(lambda: 1)  # type: ignore[arg-type]


def test_on_aws_role_and_bucket_are_needed() -> None:
    cdao_sdk.configure(sagemaker_backend="aws")
    with pytest.raises(ConfigurationError, match="default_bucket"):
        cdao_sdk.plan(flows.squares, inputs={"numbers": [1]})
    with pytest.raises(PlanError, match="sagemaker_role"):
        cdao_sdk.plan(flows.squares, inputs={"numbers": [1]}, default_bucket="bucket")


def test_for_a_cluster_the_bucket_may_be_flytes() -> None:
    planned = cdao_sdk.plan(
        flows.squares, inputs={"numbers": [1]}, admin_endpoint="flyte.example.com",
        sagemaker_role="arn:aws:iam::123456789012:role/r",
    )  # fmt: skip
    assert planned.jobs[0].outputs[0].startswith("s3://<output prefix of the cluster>/")


def test_image_for_aws_trainium_is_known() -> None:
    @cdao_sdk.sagemaker_training_task(
        framework="pytorch", framework_version="1.11.0", instance_type="ml.trn1.2xlarge"
    )
    def learn(number: int) -> int:
        return number

    [job] = cdao_sdk.plan(learn, inputs={"number": 1}).jobs
    assert (job.image.name, job.image.version, job.image.python) == ("pytorch", "1.11.0", "3.8")


def test_cost_is_bounded_by_runtime_attempts_and_instances() -> None:
    options = {"framework": "sklearn", "instance_type": "ml.m5.large", "instance_count": 2}
    spec = build_spec("training", {**options, "max_runtime_seconds": 7200})

    def cost(**changes: Any) -> float | None:
        given = {"region": "us-east-1", "attempts": 1, "elements": 1, "limit_seconds": 7200}
        return most(spec, **{**given, **changes}).usd

    assert cost() == pytest.approx(2 * 2 * 0.115)
    assert cost(attempts=3) == pytest.approx(3 * 2 * 2 * 0.115)
    assert cost(limit_seconds=3600) == pytest.approx(2 * 0.115)
    assert cost(elements=None) is None
    assert cost(region="xx-nowhere-1") is None


def test_without_a_time_limit_the_cost_is_open() -> None:
    spec = build_spec("transform", {"instance_type": "ml.m5.large"})
    cost = most(spec, region="us-east-1", attempts=1, elements=1, limit_seconds=None)
    assert cost.usd is None
    assert "timeout" in cost.reason


def test_files_inside_a_dataclass_are_shown_where_a_run_puts_them(tmp_path: Path) -> None:
    data = tmp_path / "raw.csv"
    data.write_text("a\n1\n")
    planned = cdao_sdk.plan(
        flows.count_files, inputs={"batch": {"name": "x", "files": [str(data)]}}
    )
    [channel] = [c for c in planned.jobs[0].channels if not c.is_ours]
    assert channel.source == planned.uploads[str(data)]


def test_groups_of_instances_and_secrets_are_told() -> None:
    [job] = cdao_sdk.plan(flows.fit_on_groups, inputs={"depth": 1}).jobs
    groups = [(group.instance_type, group.instance_count) for group in job.instance_groups]
    assert groups == [("ml.m5.large", 1), ("ml.m5.xlarge", 3)]
    assert job.instance_count == 4
    assert job.cost.usd == pytest.approx(0.115 + 3 * 0.23)
    assert job.secrets == ("db:password",)


def test_distribution_and_checkpoints_are_told() -> None:
    [job] = cdao_sdk.plan(flows.fit_together, inputs={"depth": 1}).jobs
    assert job.distribution == "torchrun"
    assert job.outputs[1].endswith("/execution/n0/checkpoints")
    assert job.instance_groups == ()


def test_a_task_that_flytekit_runs_has_a_plan() -> None:
    planned = cdao_sdk.plan(flows.fit_by_flytekit, inputs={"depth": 1})
    [job] = planned.jobs
    assert [report for report in faults(planned) if report] == []
    assert any(uri.endswith("/execution/n0/flyte/inputs.pb") for uri in job.objects)


def test_an_image_that_flyte_builds_is_named_and_not_asked_for() -> None:
    class NeverAsked(ImageSpecBuilder):
        def should_build(self, image_spec: ImageSpec) -> bool:
            raise AssertionError(image_spec)

        def build_image(self, image_spec: ImageSpec) -> str:
            raise AssertionError(image_spec)

    ImageBuildEngine.register("never-asked", NeverAsked())
    try:
        image = ImageSpec(name="own", registry="123456789012.dkr.ecr/x", builder="never-asked")

        @cdao_sdk.sagemaker_processing_task(container_image=image)
        def count(text: str) -> int:
            return len(text)

        [job] = cdao_sdk.plan(count, inputs={"text": "a"}).jobs
        assert job.image.uri == image.image_name()
    finally:
        del ImageBuildEngine._REGISTRY["never-asked"]
