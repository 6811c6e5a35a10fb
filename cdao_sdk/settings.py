"""One frozen ``Settings``, gathered from layers, each value knowing where it came from.

First match wins: call argument, ``configure()``, ``CDAO_*`` environment, ``.flyte/cdao.toml``,
``[tool.cdao]`` in pyproject.toml, Flyte's own ``.flyte/config.yaml``, default.
"""

from __future__ import annotations

import copy
import functools
import json
import os
import re
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

import yaml
from pydantic import Field, TypeAdapter, ValidationError, ValidationInfo, field_validator
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    PyprojectTomlConfigSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from cdao_sdk.accounts import Account, AccountKey
from cdao_sdk.errors import ConfigurationError, did_you_mean
from cdao_sdk.setting_types import (  # noqa: TC001 - pydantic reads the annotations
    AdminEndpoint,
    ApiOperation,
    ApiRate,
    Bucket,
    BucketPattern,
    ExternalId,
    FlyteName,
    ImagePattern,
    QueueUrl,
    Region,
    Role,
    RolePattern,
    Url,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from pydantic_core import ErrorDetails

__all__ = [
    "Settings",
    "SettingsHolder",
    "SettingsWithSources",
    "flyte_config_file",
    "gather",
    "holder",
]

ENV_PREFIX = "CDAO_"
# Read by the script runtime inside a job, where no settings are.
_RUNTIME_ENV = frozenset({"CDAO_OPT_ML"})


class Settings(BaseSettings):
    """What the SDK needs to know about its surroundings.

    Each field can be given to ``configure()``, as ``CDAO_<FIELD>`` in the environment, or in a
    ``[tool.cdao]`` table of pyproject.toml.
    """

    model_config = SettingsConfigDict(frozen=True, extra="forbid", env_prefix=ENV_PREFIX)

    admin_endpoint: AdminEndpoint | None = Field(
        default=None, description="FlyteAdmin; unset: workflows run in this process."
    )
    insecure: bool = Field(default=False, description="Talk to FlyteAdmin without TLS.")
    project: FlyteName = Field(default="flytesnacks", description="Flyte project.")
    domain: FlyteName = Field(default="development", description="Flyte domain.")
    image: str | None = Field(
        default=None,
        description="Container image of plain Flyte tasks on the cluster; unset: flytekit's own.",
    )
    copy_style: Literal["auto", "all"] = Field(
        default="auto",
        description="Code that goes to the cluster: imported modules, or the whole project folder.",
    )
    sagemaker_role: Role | None = Field(
        default=None, description="ARN of the role that SageMaker jobs assume."
    )
    default_bucket: Bucket | None = Field(
        default=None, description="Bucket for code, inputs and outputs of jobs."
    )
    region: Region | None = Field(
        default=None, description="AWS region; unset: AWS's own settings, then us-east-1."
    )
    sagemaker_backend: Literal["embedded", "aws"] = Field(
        default="embedded",
        description="Where a run in this process sends its jobs: the embedded SageMaker or AWS.",
    )
    endpoint_url: Url | None = Field(
        default=None, description="AWS endpoint to use instead, such as `cdao local start` prints."
    )
    state_dir: Path = Field(
        default=Path("~/.cdao/local"),
        description="Where the embedded SageMaker keeps objects, jobs and logs.",
    )
    local_concurrency: int = Field(
        default=0, ge=0, le=256, description="Jobs at once on the embedded SageMaker; 0: by cores."
    )
    local_faults: str | None = Field(
        default=None,
        description="Faults that the embedded SageMaker shows: JSON, or a file with it.",
    )
    poll_interval_seconds: float = Field(
        default=5.0, gt=0, le=600, description="Seconds between two looks at jobs on AWS."
    )
    ui: Literal["auto", "widget", "html", "rich", "plain"] = Field(
        default="auto", description="How progress is shown."
    )
    tags: dict[str, str] = Field(
        default_factory=dict, description="Tags for every AWS resource that is made."
    )
    assume_role: Role | None = Field(
        default=None, description="ARN of a role to assume for every AWS call."
    )
    external_id: ExternalId | None = Field(
        default=None, description="What the trust policy of assume_role asks for."
    )
    accounts: dict[AccountKey, Account] = Field(
        default_factory=dict,
        description="AWS accounts by '<project>/<domain>', '<project>' or '*/<domain>'.",
    )
    status_interval_seconds: float | None = Field(
        default=None,
        gt=0,
        le=600,
        description="Seconds between a connector's looks at its jobs; 5 on AWS, 0.25 embedded.",
    )
    status_longest_interval_seconds: float | None = Field(
        default=None, gt=0, le=600, description="The same while nothing changes; 20 on AWS."
    )
    status_sweep_seconds: float = Field(
        default=300.0, ge=10, le=86_400, description="Seconds between looks at all running jobs."
    )
    events_queue_url: QueueUrl | None = Field(
        default=None, description="SQS queue with SageMaker's state changes, one a connector."
    )
    api_rates: dict[ApiOperation, ApiRate] = Field(
        default_factory=dict,
        description="Requests a second by AWS operation, where not as by default; 0: no limit.",
    )

    @field_validator("external_id")
    @classmethod
    def _belongs_to_a_role(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is not None and info.data.get("assume_role", "") is None:
            msg = "it is sent with a role: give assume_role, too"
            raise ValueError(msg)
        return value

    allowed_roles: tuple[RolePattern, ...] = Field(
        default=(), description="Roles that the connector's jobs may name, as patterns; none: all."
    )
    allowed_buckets: tuple[BucketPattern, ...] = Field(
        default=(), description="Buckets that they may name, as patterns; none: all."
    )
    allowed_images: tuple[ImagePattern, ...] = Field(
        default=(), description="Images that they may run, as patterns; none: all."
    )

    @property
    def state_path(self) -> Path:
        """``state_dir``, absolute, with ``~`` resolved."""
        return self.state_dir.expanduser().absolute()

    @property
    def jobs_at_once(self) -> int:
        """Jobs that the embedded SageMaker runs at once; by default at least four, for they wait
        as often as they work."""
        return self.local_concurrency or max(4, os.cpu_count() or 1)

    @property
    def region_name(self) -> str:
        """The AWS region in force."""
        aws = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
        return self.region or aws or "us-east-1"


@dataclass(frozen=True)
class SettingsWithSources:
    """Settings, and for each field the layer that it came from."""

    settings: Settings
    sources: Mapping[str, str]


class _FlyteConfigSource(PydanticBaseSettingsSource):
    """``admin.endpoint`` and ``admin.insecure`` of Flyte's own configuration file."""

    def __init__(self, path: Path | None) -> None:
        super().__init__(Settings)
        self._path = path

    def get_field_value(self, field: object, field_name: str) -> tuple[object, str, bool]:  # pyright: ignore[reportIncompatibleMethodOverride] # unused: __call__ reads the file whole
        del field
        return None, field_name, False

    def __call__(self) -> dict[str, object]:
        if self._path is None or not self._path.is_file():
            return {}
        try:
            content: object = yaml.safe_load(self._path.read_text(encoding="utf-8"))
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            msg = f"{self._path} is not YAML: {error}"
            raise ConfigurationError(msg) from error
        admin: object = (
            cast("dict[str, object]", content).get("admin") if isinstance(content, dict) else None
        )
        if not isinstance(admin, dict):
            return {}
        admin = cast("dict[str, object]", admin)
        names = {"endpoint": "admin_endpoint", "insecure": "insecure"}
        return {names[key]: admin[key] for key in names if admin.get(key) is not None}


def _project_file(relative: str, start: Path) -> Path | None:
    """The nearest such file in this folder or above it."""
    candidates = (folder / relative for folder in (start, *start.parents))
    return next((path for path in candidates if path.is_file()), None)


def _layers(explicit: Mapping[str, object]) -> Iterator[tuple[str, dict[str, object]]]:
    """Each layer's name and values, the strongest first."""
    yield "configure()", dict(explicit)
    _refuse_unknown_environment()
    for name, value in _environment_values().items():
        yield f"environment {ENV_PREFIX}{name.upper()}", {name: value}
    cwd = Path.cwd()
    if (toml := _project_file(".flyte/cdao.toml", cwd)) is not None:
        yield str(toml), _read(_toml_values, toml)
    if (pyproject := _project_file("pyproject.toml", cwd)) is not None:
        yield f"{pyproject} [tool.cdao]", _read(_pyproject_values, pyproject)
    flyte = flyte_config_file()
    yield str(flyte), _FlyteConfigSource(flyte)()


# Fields that take JSON in the environment, each with an example.
_JSON_FIELDS = {
    "accounts": '{"ml-prod": {"role_arn": "arn:aws:iam::123456789012:role/cdao"}}',
    "allowed_buckets": '["team-*"]',
    "allowed_images": '["123456789012.dkr.ecr.*.amazonaws.com"]',
    "allowed_roles": '["arn:aws:iam::123456789012:role/team-*"]',
    "api_rates": '{"CreateTrainingJob": 2.5}',
    "tags": '{"team": "risk"}',
}
# Kubernetes tells each pod of the services in its namespace; one may be named cdao-something.
_OF_KUBERNETES = re.compile(
    r"CDAO_\w*?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)"
)


def flyte_config_file() -> Path | None:
    """Flyte's own configuration file that is in force: ``FLYTECTL_CONFIG``, or the nearest."""
    flytectl = os.environ.get("FLYTECTL_CONFIG")
    return Path(flytectl) if flytectl else _project_file(".flyte/config.yaml", Path.cwd())


def _environment_values() -> dict[str, object]:
    for field, example in _JSON_FIELDS.items():
        name = f"{ENV_PREFIX}{field.upper()}"
        given = os.environ.get(name)
        try:
            json.loads(given or "null")
        except ValueError as error:
            msg = f"{name}={given!r} is not JSON ({error}); write it as {example!r}."
            raise ConfigurationError(msg) from error
    return dict(EnvSettingsSource(Settings, env_prefix=ENV_PREFIX)())


def _refuse_unknown_environment() -> None:
    known = {f"{ENV_PREFIX}{name}".upper() for name in Settings.model_fields} | _RUNTIME_ENV
    unknown = [
        f"{name}={os.environ[name]!r}: no such setting.{did_you_mean(name, known)}"
        for name in sorted(os.environ)
        if name.upper().startswith(ENV_PREFIX)
        and name.upper() not in known
        and not _OF_KUBERNETES.fullmatch(name)
    ]
    if unknown:
        msg = "The environment has CDAO_* variables that mean nothing; correct or unset them."
        raise ConfigurationError(msg, problems=unknown)


def _read(read: Callable[[Path], dict[str, object]], path: Path) -> dict[str, object]:
    """What a file says; parsed anew only when it has changed: each call reads the settings."""
    stat = path.stat()
    key = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
    return copy.deepcopy(_read_version(read, path, key))


@functools.lru_cache(maxsize=32)
def _read_version(
    read: Callable[[Path], dict[str, object]], path: Path, _version: tuple[int, int, int]
) -> dict[str, object]:
    return read(path)


def _toml_values(path: Path) -> dict[str, object]:
    try:
        return dict(TomlConfigSettingsSource(Settings, toml_file=path)())
    except ValueError as error:
        msg = f"{path} is not TOML: {error}"
        raise ConfigurationError(msg) from error


class _CdaoTable(Settings):
    model_config = SettingsConfigDict(pyproject_toml_table_header=("tool", "cdao"))


def _pyproject_values(path: Path) -> dict[str, object]:
    try:
        return dict(PyprojectTomlConfigSettingsSource(_CdaoTable, toml_file=path)())
    except ValueError as error:
        msg = f"{path} is not TOML: {error}"
        raise ConfigurationError(msg) from error
    except (AttributeError, TypeError) as error:  # `cdao = 3` below [tool], for instance
        msg = f"{path}: [tool.cdao] is no table of settings."
        raise ConfigurationError(msg) from error


def _problem(error: ErrorDetails, sources: Mapping[str, str]) -> str:
    source = sources.get(str(error["loc"][0]), "default")
    name = ".".join(map(str, error["loc"]))
    if error["type"] == "extra_forbidden":
        *table, unknown = map(str, error["loc"])
        known = Account.model_fields if table else Settings.model_fields
        return f"{name} (from {source}): no such setting.{did_you_mean(unknown, known)}"
    rule = error["msg"].removeprefix("Value error, ")
    return f"{name}={error['input']!r} (from {source}): {rule}"


def gather(
    explicit: Mapping[str, object] | None = None, overrides: Mapping[str, object] | None = None
) -> SettingsWithSources:
    """Read all layers and check the result.

    Args:
        explicit: What ``configure()`` was given.
        overrides: Arguments of the call at hand; they win.

    Returns:
        The settings and where each came from.

    Raises:
        ConfigurationError: Unknown names and malformed values, all of them at once.

    Example:
        >>> gather({"project": "ml"}).sources["project"]
        'configure()'
    """
    values: dict[str, object] = dict(overrides or {})
    sources = dict.fromkeys(values, "call argument")
    for layer, found in _layers(explicit or {}):
        for name, value in found.items():
            if name not in values:
                values[name], sources[name] = value, layer
    try:
        checked = TypeAdapter(_Plain).validate_python(values)
    except ValidationError as error:
        problems = [_problem(detail, sources) for detail in error.errors()]
        msg = "The settings are not valid."
        raise ConfigurationError(msg, problems=problems) from None
    settings = Settings.model_construct(**checked.__dict__)
    return SettingsWithSources(
        settings, {name: sources.get(name, "default") for name in Settings.model_fields}
    )


class _Plain(Settings):
    """Settings from given values alone: the layers have been read already."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        del settings_cls, env_settings, dotenv_settings, file_secret_settings
        return (init_settings,)


class SettingsHolder:
    """What ``configure()`` has set in this process; thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._explicit: dict[str, object] = {}

    def update(self, values: Mapping[str, object]) -> SettingsWithSources:
        """Add to what was configured; nothing is kept when a value is refused."""
        with self._lock:
            merged = {**self._explicit, **values}
            gathered = gather(merged)
            self._explicit = copy.deepcopy(merged)  # the caller may change its tags later
        return gathered

    def gather(self, overrides: Mapping[str, object] | None = None) -> SettingsWithSources:
        """The settings in force now, with their sources."""
        with self._lock:
            explicit = dict(self._explicit)
        return gather(explicit, overrides)

    def reset(self) -> None:
        """Forget all that ``configure()`` was given."""
        with self._lock:
            self._explicit = {}


holder = SettingsHolder()
