"""Secrets as a job knows them: references to AWS Secrets Manager, never values.

``Secret(group=…, key=…)``: the group is the secret's name or ARN, the key an entry of the JSON
object that it holds; without a key it is the whole text. ``group_version`` is a version's id, or a
stage such as ``AWSPREVIOUS``. The job fetches the value itself, with its own role.
"""

# flytekit ships no type information: what comes from it is unknown to the checker.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from flytekit.models.security import Secret

from cdao_sdk.errors import SpecError

if TYPE_CHECKING:
    from flytekit.models.security import SecurityContext
    from flytekit.models.task import TaskTemplate

    from cdao_sdk.kinds.spec import JobSpec

__all__ = ["check_secrets", "secret_references"]

# https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_CreateSecret.html
_NAME = re.compile(r"[\w/+=.@-]{1,512}")
_ARN = re.compile(r"arn:aws[a-z-]*:secretsmanager:([a-z0-9-]+):\d{12}:secret:[\w/+=.@-]+")


def check_secrets(
    task: str, context: SecurityContext | None, spec: JobSpec, *, runs_body: bool
) -> None:
    """Refuse secrets that a job could not get.

    Raises:
        SpecError: All that is wrong with them.
    """
    secrets = context.secrets if context is not None else None
    if not secrets:
        return
    problems = [problem for secret in secrets for problem in _problems(secret)]
    if not runs_body:
        problems.append("no code of yours runs in this job, so nothing could read a secret")
    if spec.enable_network_isolation:
        problems.append(
            "enable_network_isolation=True: the job cannot reach Secrets Manager; leave one of the"
            " two out"
        )
    if problems:
        msg = f"{task}: its secret_requests cannot be met."
        raise SpecError(msg, problems=problems)


def _problems(secret: Secret) -> list[str]:
    name = f"Secret(group={secret.group!r}, key={secret.key!r})"
    problems: list[str] = []
    if not secret.group or not (_NAME.fullmatch(secret.group) or _ARN.fullmatch(secret.group)):
        problems.append(f"{name}: group is the name or ARN of a secret in AWS Secrets Manager")
    if secret.mount_requirement is Secret.MountType.FILE:
        problems.append(
            f"{name}: mount_requirement=FILE would write it to the job's disk; read it by"
            " current_context().secrets.get(group, key), or use ENV_VAR"
        )
    return problems


def secret_references(template: TaskTemplate, region: str) -> list[dict[str, object]]:
    """The secrets that a job may fetch, for its document.

    Args:
        template: The task's template.
        region: Where secrets lie that are not named by their ARN.
    """
    context = template.security_context
    return [_reference(secret, region) for secret in (context.secrets if context else None) or ()]


def _reference(secret: Secret, region: str) -> dict[str, object]:
    arn = _ARN.fullmatch(secret.group or "")
    in_environment = secret.mount_requirement is Secret.MountType.ENV_VAR or bool(secret.env_var)
    return {
        "group": secret.group,
        "key": secret.key or None,
        "version": secret.group_version or None,
        "region": arn[1] if arn else region,
        "variables": _variables(secret),
        "export": in_environment,
    }


def _variables(secret: Secret) -> list[str]:
    """The variable that was asked for, and the one that flytekit looks for (1.16.31)."""
    flytes = "_".join(filter(None, ("_FSEC", secret.group, secret.group_version, secret.key)))
    return [*filter(None, [secret.env_var]), flytes.upper().replace("=", "_")]
