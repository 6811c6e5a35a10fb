"""Settings: which layer wins, where a value came from, and what is refused."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import boto3
import pytest
from pydantic import ValidationError

import cdao_sdk
from cdao_sdk.errors import ConfigurationError
from cdao_sdk.settings import Settings, gather, holder

ROLE = "arn:aws:iam::123456789012:role/path/SageMakerExecutionRole"


@pytest.fixture
def layers(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Any]]:
    """Every layer that can name `project`, from the weakest to the strongest; each is yet unset."""
    here = Path.cwd()
    flyte = here / ".flyte"
    flyte.mkdir()

    def pyproject() -> None:
        (here / "pyproject.toml").write_text('[tool.cdao]\nproject = "pyproject"\n')

    def toml() -> None:
        (flyte / "cdao.toml").write_text('project = "toml"\n')

    return [
        ("default", lambda: None),
        (f"{here / 'pyproject.toml'} [tool.cdao]", pyproject),
        (str(flyte / "cdao.toml"), toml),
        (
            "environment CDAO_PROJECT",
            lambda: monkeypatch.setenv("CDAO_PROJECT", "environment"),
        ),
        ("configure()", lambda: cdao_sdk.configure(project="configured")),
    ]


def test_stronger_layer_wins_and_is_named(layers: Any) -> None:
    values = ["flytesnacks", "pyproject", "toml", "environment", "configured"]
    for (source, set_it), value in zip(layers, values, strict=True):
        set_it()
        gathered = holder.gather()
        assert (gathered.settings.project, gathered.sources["project"]) == (value, source)
    called = holder.gather({"project": "called"})
    assert (called.settings.project, called.sources["project"]) == ("called", "call argument")
    assert holder.gather().settings.project == "configured"


def test_every_layer_wins_over_flytes_own_file(
    layers: list[tuple[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flyte = Path.cwd() / ".flyte" / "config.yaml"
    flyte.write_text("admin: {endpoint: from-yaml}\n")
    assert gather().sources["admin_endpoint"] == str(flyte)
    named = tmp_path / "named.yaml"
    named.write_text("admin: {endpoint: from-named-yaml}\n")
    monkeypatch.setenv("FLYTECTL_CONFIG", str(named))
    assert gather().settings.admin_endpoint == "from-named-yaml"
    assert gather().sources["admin_endpoint"] == str(named)
    for (source, _), set_it in zip(
        layers[1:],
        [
            lambda: Path("pyproject.toml").write_text('[tool.cdao]\nadmin_endpoint = "one"\n'),
            lambda: Path(".flyte/cdao.toml").write_text('admin_endpoint = "two"\n'),
            lambda: monkeypatch.setenv("CDAO_ADMIN_ENDPOINT", "three"),
            lambda: cdao_sdk.configure(admin_endpoint="four"),
        ],
        strict=True,
    ):
        set_it()
        assert holder.gather().sources["admin_endpoint"] == source.replace(
            "CDAO_PROJECT", "CDAO_ADMIN_ENDPOINT"
        )
    assert holder.gather().settings.admin_endpoint == "four"


@pytest.mark.parametrize(
    "text", ["", "# nothing\n", "admin:\n", "- a list\n", "just text\n", "admin: text\n", "{}"]
)
def test_flytes_own_file_without_an_endpoint_says_nothing(text: str) -> None:
    Path(".flyte").mkdir()
    Path(".flyte/config.yaml").write_text(text)
    assert gather().settings.admin_endpoint is None
    assert gather().sources["admin_endpoint"] == "default"


def test_flytes_own_file_is_the_weakest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = Path.cwd() / ".flyte" / "config.yaml"
    path.parent.mkdir()
    path.write_text("admin:\n  endpoint: dns:///flyte.example.com\n  insecure: true\n  other: 1\n")
    gathered = gather()
    assert gathered.settings.admin_endpoint == "dns:///flyte.example.com"
    assert gathered.settings.insecure is True
    assert gathered.sources["admin_endpoint"] == str(path)
    other = tmp_path / "flyte.yaml"
    other.write_text("admin: {endpoint: localhost:30080}\n")
    monkeypatch.setenv("FLYTECTL_CONFIG", str(other))
    assert gather().settings.admin_endpoint == "localhost:30080"
    assert cdao_sdk.configure(admin_endpoint=None).admin_endpoint is None


@pytest.mark.parametrize(
    ("name", "text", "field"),
    [
        ("pyproject.toml", '[tool.cdao]\nregion = "eu-west-1"\n', "region"),
        (".flyte/cdao.toml", 'region = "eu-west-1"\n', "region"),
        (".flyte/config.yaml", "admin: {endpoint: above}\n", "admin_endpoint"),
    ],
)
def test_files_are_found_above_the_working_folder(
    name: str, text: str, field: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = Path.cwd() / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    below = Path.cwd() / "a" / "b"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    assert gather().sources[field].startswith(str(path))


def test_nearest_file_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("pyproject.toml").write_text('[tool.cdao]\nproject = "above"\n')
    Path("below").mkdir()
    Path("below/pyproject.toml").write_text('[tool.cdao]\nproject = "below"\n')
    monkeypatch.chdir("below")
    assert gather().settings.project == "below"


@pytest.mark.parametrize("layer", ["configure", "environment", "toml", "pyproject", "call"])
def test_unknown_name_is_refused_in_each_layer_with_the_nearest(
    layer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (Path.cwd() / ".flyte").mkdir()
    overrides: dict[str, object] = {}
    explicit: dict[str, object] = {}
    if layer == "configure":
        explicit = {"sagemaker_rol": ROLE}
    elif layer == "environment":
        monkeypatch.setenv("CDAO_SAGEMAKER_ROL", ROLE)
    elif layer == "toml":
        (Path.cwd() / ".flyte" / "cdao.toml").write_text(f'sagemaker_rol = "{ROLE}"\n')
    elif layer == "pyproject":
        (Path.cwd() / "pyproject.toml").write_text(f'[tool.cdao]\nsagemaker_rol = "{ROLE}"\n')
    else:
        overrides = {"sagemaker_rol": ROLE}
    nearest = "CDAO_SAGEMAKER_ROLE" if layer == "environment" else "sagemaker_role"
    with pytest.raises(ConfigurationError, match=f"no such setting. Did you mean '{nearest}'"):
        gather(explicit, overrides)


@pytest.mark.parametrize(
    ("name", "value", "rule"),
    [
        ("sagemaker_role", "SageMakerExecutionRole", "arn:aws:iam::"),
        ("sagemaker_role", "arn:aws:iam::ACCOUNT:role/x", "12-digit account"),
        ("sagemaker_role", "arn:aws:iam::123456789012:user/x", "role/<name>"),
        ("default_bucket", "s3://bucket", "without 's3://'"),
        ("default_bucket", "Bucket", "a-z"),
        ("default_bucket", "10.0.0.1", "bucket's name"),
        ("default_bucket", "a..b", "bucket's name"),
        ("region", "Ireland", "region's code"),
        ("admin_endpoint", "not a host", "give https://host"),
        ("admin_endpoint", "ftp://host", "give https://host"),
        ("admin_endpoint", "https://", "give https://host"),
        ("endpoint_url", "localhost:4566", "http:// or https://"),
        ("endpoint_url", "http://", "http:// or https://"),
        ("project", "-", "letters, digits"),
        ("local_concurrency", -1, "greater than or equal to 0"),
        ("local_concurrency", 10_000, "less than or equal to 256"),
        ("poll_interval_seconds", 0, "greater than 0"),
        ("sagemaker_backend", "gcp", "'embedded' or 'aws'"),
        ("ui", "curses", "'auto'"),
        ("tags", {"a": 1}, "string"),
    ],
)
def test_malformed_value_is_refused_with_the_rule(name: str, value: object, rule: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        gather({name: value})
    (problem,) = caught.value.problems
    assert rule in problem
    assert name in problem
    assert "(from configure())" in problem


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("sagemaker_role", ROLE),
        ("sagemaker_role", "arn:aws-cn:iam::123456789012:role/x"),
        ("sagemaker_role", "arn:aws-us-gov:iam::123456789012:role/service-role/a+b=c,d.e@f"),
        ("default_bucket", "my.bucket-1"),
        ("region", "us-gov-west-1"),
        ("admin_endpoint", "https://flyte.example.com:8080/"),
        ("admin_endpoint", "https://flyte.your-domain.com"),
        ("admin_endpoint", "dns:///localhost:30080"),
        ("admin_endpoint", "dns:///[::1]:8089"),
        ("admin_endpoint", "localhost:30080"),
        ("admin_endpoint", "flyte.example.com"),
        ("endpoint_url", "http://127.0.0.1:4566"),
        ("state_dir", "~/elsewhere"),
    ],
)
def test_well_formed_value_is_taken(name: str, value: object) -> None:
    assert str(getattr(gather({name: value}).settings, name)) == str(value)


def test_every_region_of_aws_is_one() -> None:
    session = boto3.Session()
    regions = {
        region
        for partition in session.get_available_partitions()
        for region in session.get_available_regions("sagemaker", partition)
    }
    assert len(regions) > 30
    for region in regions:
        assert gather({"region": region}).settings.region == region


def test_value_inside_a_table_is_named_by_its_path() -> None:
    with pytest.raises(ConfigurationError, match=r"tags\.team=3 \(from configure\(\)\)"):
        gather({"tags": {"team": 3}})


def test_all_that_is_wrong_comes_at_once_with_its_source(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CDAO_REGION", "Ireland")
    (Path.cwd() / "pyproject.toml").write_text('[tool.cdao]\ndefault_bucket = "B"\n')
    with pytest.raises(ConfigurationError) as caught:
        cdao_sdk.configure(sagemaker_role="nobody", ui="curses")  # type: ignore[arg-type]
    assert len(caught.value.problems) == 4
    text = str(caught.value)
    assert "(from environment CDAO_REGION)" in text
    assert "[tool.cdao])" in text


def test_value_that_a_stronger_layer_hides_does_no_harm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CDAO_REGION", "Ireland")
    assert cdao_sdk.configure(region="eu-west-1").region == "eu-west-1"


def test_tags_in_the_environment_are_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CDAO_TAGS", '{"team": "risk"}')
    assert gather().settings.tags == {"team": "risk"}
    monkeypatch.setenv("CDAO_TAGS", "team=risk")
    with pytest.raises(ConfigurationError, match=r"CDAO_TAGS=.team=risk. is not JSON"):
        gather()


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        (".flyte/cdao.toml", b"a = [", "is not TOML"),
        (".flyte/cdao.toml", b"a = '\xff'", "is not TOML"),
        ("pyproject.toml", b"a = [", "is not TOML"),
        ("pyproject.toml", b"[tool]\ncdao = 3\n", "is no table"),
        ("pyproject.toml", b"tool = 3\n", "is no table"),
        (".flyte/config.yaml", b"a: [", "is not YAML"),
        (".flyte/config.yaml", b"a: '\xff'", "is not YAML"),
    ],
)
def test_file_that_cannot_be_read_is_named(name: str, content: bytes, problem: str) -> None:
    path = Path.cwd() / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    with pytest.raises(ConfigurationError, match=problem) as caught:
        gather()
    assert str(path) in str(caught.value)


def test_pyproject_of_another_tool_says_nothing() -> None:
    Path("pyproject.toml").write_text("[tool.ruff]\nline-length = 100\n")
    assert gather().sources["project"] == "default"


def test_variable_of_the_script_runtime_is_no_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CDAO_OPT_ML", "/somewhere")
    gather()


def test_region_falls_back_to_awss_own(monkeypatch: pytest.MonkeyPatch) -> None:
    assert gather().settings.region_name == "us-east-1"
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-north-1")
    assert gather().settings.region_name == "eu-north-1"
    assert gather({"region": "eu-west-1"}).settings.region_name == "eu-west-1"


def test_state_dir_is_absolute_and_knows_home() -> None:
    assert gather({"state_dir": "~/x"}).settings.state_path == Path.home() / "x"
    assert gather({"state_dir": "x"}).settings.state_path == Path.cwd() / "x"


def test_state_dir_of_the_environment_knows_home_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CDAO_STATE_DIR", "~/y")
    assert gather().settings.state_path == Path.home() / "y"


def test_jobs_at_once_follow_the_cores_unless_given() -> None:
    assert gather().settings.jobs_at_once == max(4, os.cpu_count() or 1)
    assert gather({"local_concurrency": 1}).settings.jobs_at_once == 1


def test_settings_are_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        gather().settings.project = "x"  # type: ignore[misc]


def test_each_setting_is_described() -> None:
    assert [n for n, field in Settings.model_fields.items() if not field.description] == []


def test_lists_in_the_environment_are_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CDAO_ALLOWED_BUCKETS", '["team-*", "shared"]')
    assert gather().settings.allowed_buckets == ("team-*", "shared")
    monkeypatch.setenv("CDAO_ALLOWED_BUCKETS", "team-*")
    with pytest.raises(ConfigurationError, match=r"CDAO_ALLOWED_BUCKETS='team-\*' is not JSON"):
        gather()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("allowed_buckets", "s3://team"),
        ("allowed_buckets", "Team"),
        ("allowed_roles", "team-*"),
        ("allowed_images", "https://registry.example.com"),
        ("allowed_images", ""),
    ],
)
def test_a_pattern_that_could_never_fit_is_refused(name: str, value: str) -> None:
    with pytest.raises(ConfigurationError, match=name):
        gather({name: [value]})


def test_what_kubernetes_tells_of_its_services_is_no_setting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in (
        *("SERVICE_HOST", "SERVICE_PORT", "SERVICE_PORT_GRPC", "PORT", "PORT_8000_TCP"),
        *("PORT_8000_TCP_PROTO", "PORT_8000_TCP_PORT", "PORT_8000_TCP_ADDR"),
    ):
        monkeypatch.setenv(f"CDAO_CONNECTOR_{name}", "10.0.0.7")
    gather()
    monkeypatch.setenv("CDAO_CONNECTOR_PORTS", "10")
    with pytest.raises(ConfigurationError, match="CDAO_CONNECTOR_PORTS"):
        gather()
