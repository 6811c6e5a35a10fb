"""The AWS account: who calls, the jobs' role, the bucket."""

# botocore ships no types.
# pyright: reportUnknownVariableType=false

from __future__ import annotations

import asyncio
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

from cdao_sdk._doctor.findings import failed, first_line, found, skipped, warned
from cdao_sdk.aws.calls import UNREACHABLE, call
from cdao_sdk.errors import CdaoError, NotFound, SubmissionError
from cdao_sdk.kinds.registry import KINDS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from cdao_sdk._doctor.findings import Finding
    from cdao_sdk.aws.session import AwsClients

__all__ = ["Account", "Identity"]

_SERVICE = "sagemaker.amazonaws.com"
_REFUSALS = frozenset({"AccessDenied", "AccessDeniedException", "403"})
_LOG_IN = "log in (`aws sso login`, `aws configure`), or set AWS_PROFILE or AWS_ACCESS_KEY_ID"
# botocore raises these before anything is sent; by name, for it has no common class for them.
_NO_CREDENTIALS = {
    "NoCredentialsError": "none were found",
    "PartialCredentialsError": "they are not complete",
    "ProfileNotFound": "the profile is not there",
    "CredentialRetrievalError": "they cannot be read",
    "SSOTokenLoadError": "the SSO session is over",
    "UnauthorizedSSOTokenError": "the SSO session is over",
    "TokenRetrievalError": "the SSO session is over",
}


@dataclass(frozen=True)
class Identity:
    """Who calls AWS.

    Attributes:
        arn: The caller's ARN.
        account: The account's number.
    """

    arn: str
    account: str

    @property
    def principal(self) -> str:
        """The IAM user or role behind the ARN, as IAM's simulator takes it."""
        if ":assumed-role/" not in self.arn:
            return self.arn
        partition = self.arn.split(":")[1]
        role = self.arn.partition(":assumed-role/")[2].partition("/")[0]
        return f"arn:{partition}:iam::{self.account}:role/{role}"


@dataclass
class Account:
    """Checks of one account; the caller's identity is asked for once.

    Attributes:
        clients: The account's clients.
        region: AWS region.
    """

    clients: AwsClients
    region: str
    _identity: asyncio.Future[Identity] | None = field(default=None, repr=False)

    async def identity(self) -> Identity:
        """Who calls.

        Raises:
            CdaoError: There are no credentials, or AWS refuses them.
        """
        if self._identity is None:
            self._identity = asyncio.ensure_future(self._ask())
            self._identity.add_done_callback(_seen)
        return await asyncio.shield(self._identity)

    async def _ask(self) -> Identity:
        from botocore.exceptions import BotoCoreError

        try:
            answer = await call(self.clients, "sts", "GetCallerIdentity", {})
        except BotoCoreError as error:  # raised where the client is made
            raise _unusable(cast("Exception", error)) from error
        except CdaoError as error:
            if type(error.__cause__).__name__ not in _NO_CREDENTIALS:
                raise
            raise _unusable(error.__cause__) from error
        return Identity(str(answer["Arn"]), str(answer["Account"]))

    async def credentials(self) -> Finding:
        """Whether there are any, and whether AWS takes them."""
        name = "credentials"
        try:
            identity = await self.identity()
        except SubmissionError as error:
            if error.code in ("ExpiredToken", "ExpiredTokenException"):
                return failed(name, "they have expired", _LOG_IN)
            mend = "see endpoints, below" if error.code == UNREACHABLE else _LOG_IN
            return failed(name, first_line(error), mend)
        except CdaoError as error:
            return failed(name, error.message, _LOG_IN)
        return found(name, identity.arn)

    # --- the jobs' role ---

    async def role(self, arn: str | None) -> Finding:
        """Whether the jobs' role is there and SageMaker may assume it."""
        if arn is None:
            mend = "configure(sagemaker_role='arn:aws:iam::…:role/…') or CDAO_SAGEMAKER_ROLE"
            return failed("role", "no role for SageMaker jobs is set", mend)
        if (identity := await self._known()) is None:
            return skipped("role", "it needs credentials")
        owner, name = arn.split(":")[4], arn.rpartition("/")[2]
        if owner != identity.account:
            text = f"{arn} belongs to account {owner}, the credentials to {identity.account}"
            return failed("role", text, "use a role and credentials of one account")
        try:
            answer = await call(self.clients, "iam", "GetRole", {"RoleName": name})
        except SubmissionError as error:
            if error.code == "NoSuchEntity":
                mend = f"create it, with a trust policy for {_SERVICE}, or correct sagemaker_role"
                return failed("role", f"{arn} does not exist", mend)
            return _refused("role", error, f"whether {arn} exists", "iam:GetRole")
        role = cast("Mapping[str, object]", answer["Role"])
        if not trusts_sagemaker(role.get("AssumeRolePolicyDocument")):
            text = f"SageMaker may not assume {arn}"
            mend = f"add {_SERVICE} with sts:AssumeRole to its trust policy"
            return failed("role", text, mend)
        return found("role", f"{arn}; SageMaker may assume it")

    async def permissions(self, role: str | None) -> Finding:
        """Whether the caller may do what a run does, PassRole included."""
        name = "permissions"
        if (identity := await self._known()) is None:
            return skipped(name, "it needs credentials")
        if identity.arn.endswith(":root"):
            return warned(name, "the caller is the account's root", "use a user or role of its own")
        actions = sorted({action for kind in KINDS.values() for action in kind.iam_actions})
        try:
            denied = await self._denied(identity, actions)
            if role is not None:
                denied += await self._denied(identity, ["iam:PassRole"], role)
        except CdaoError as error:
            return _refused(name, error, "what the caller may do", "iam:SimulatePrincipalPolicy")
        if denied:
            mend = f"allow {identity.principal} these actions"
            return failed(name, f"the caller may not {', '.join(denied)}", mend)
        passing = " and pass the role" if role is not None else ""
        return found(name, f"{len(actions)} actions of SageMaker allowed{passing}")

    async def _denied(
        self, identity: Identity, actions: list[str], resource: str | None = None
    ) -> list[str]:
        parameters: dict[str, object] = {
            "PolicySourceArn": identity.principal,
            "ActionNames": actions,
        }
        if resource is not None:
            parameters["ResourceArns"] = [resource]
            parameters["ContextEntries"] = [
                {
                    "ContextKeyName": "iam:PassedToService",
                    "ContextKeyValues": [_SERVICE],
                    "ContextKeyType": "string",
                }
            ]
        answer = await call(self.clients, "iam", "SimulatePrincipalPolicy", parameters)
        results = cast("Iterable[Mapping[str, str]]", answer["EvaluationResults"])
        return [r["EvalActionName"] for r in results if r["EvalDecision"] != "allowed"]

    # --- the bucket ---

    async def bucket(self, name: str | None, *, needed: bool, write: bool) -> Finding:
        """Whether the bucket is there, in the jobs' region, and can be written."""
        if name is None:
            mend = "configure(default_bucket='…') or CDAO_DEFAULT_BUCKET"
            if needed:
                return failed("bucket", "no bucket for code and outputs is set", mend)
            return skipped("bucket", "none is set; jobs write below Flyte's own output prefix")
        if await self._known() is None:
            return skipped("bucket", "it needs credentials")
        try:
            answer = await call(self.clients, "s3", "HeadBucket", {"Bucket": name})
        except NotFound:
            mend = f"aws s3 mb s3://{name} --region {self.region}, or correct default_bucket"
            return failed("bucket", f"{name} does not exist", mend)
        except SubmissionError as error:
            if error.code in _REFUSALS:
                mend = "use another name, or allow s3:ListBucket and s3:GetObject/PutObject on it"
                return failed("bucket", f"{name} is there, but not for this caller", mend)
            return failed("bucket", f"{name}: {first_line(error)}", "try again")
        where = str(answer.get("BucketRegion") or self.region)
        if where != self.region:
            text = f"{name} is in {where}, jobs run in {self.region}"
            return failed("bucket", text, f"use a bucket in {self.region}, or region={where!r}")
        if not write:
            return found("bucket", f"{name}, in {where}; --write tries writing, too")
        return await self._written(name, where)

    async def _written(self, name: str, region: str) -> Finding:
        marker = {"Bucket": name, "Key": f"cdao/doctor/{secrets.token_hex(8)}"}
        try:
            await call(self.clients, "s3", "PutObject", {**marker, "Body": b""})
            await call(self.clients, "s3", "DeleteObject", marker)
        except SubmissionError as error:
            mend = f"allow s3:PutObject and s3:DeleteObject on arn:aws:s3:::{name}/cdao/*"
            return failed("bucket", f"{name}: {first_line(error)}", mend)
        return found("bucket", f"{name}, in {region}; it can be written")

    async def _known(self) -> Identity | None:
        try:
            return await self.identity()
        except CdaoError:
            return None  # the check of the credentials says why


def _seen(identity: asyncio.Future[Identity]) -> None:
    """Take note of an error for which no check waited long enough."""
    if not identity.cancelled():
        identity.exception()


def _unusable(error: BaseException | None) -> CdaoError:
    """There are no credentials that could be sent."""
    words = _NO_CREDENTIALS.get(type(error).__name__, "they cannot be used")
    if error is None or words == _NO_CREDENTIALS["NoCredentialsError"]:
        return CdaoError(words)
    return CdaoError(f"{words}: {first_line(error)}")


def _refused(name: str, error: CdaoError, what: str, action: str) -> Finding:
    """IAM would not say; that alone is no fault."""
    if isinstance(error, SubmissionError) and error.code in _REFUSALS:
        return warned(name, f"this caller may not see {what}", f"allow {action}, or ask who may")
    return warned(name, f"cannot see {what}: {first_line(error)}", "look at it in IAM's console")


def trusts_sagemaker(policy: object) -> bool:
    """Whether a role's trust policy lets SageMaker assume it.

    Example:
        >>> statement = {"Effect": "Allow", "Action": "sts:AssumeRole",
        ...              "Principal": {"Service": ["sagemaker.amazonaws.com"]}}
        >>> trusts_sagemaker({"Statement": [statement]})
        True
    """
    document = cast("dict[str, object]", policy if isinstance(policy, dict) else {})
    return any(
        statement.get("Effect") == "Allow"
        and _SERVICE in _listed(_services(statement.get("Principal")))
        and {"sts:AssumeRole", "sts:*", "*"} & set(_listed(statement.get("Action")))
        for statement in cast("list[Mapping[str, object]]", _listed(document.get("Statement")))
    )


def _services(principal: object) -> object:
    named = cast("dict[str, object]", principal if isinstance(principal, dict) else {})
    return named.get("Service")


def _listed(value: object) -> list[object]:
    if value is None:
        return []
    return list(cast("Iterable[object]", value)) if isinstance(value, (list, tuple)) else [value]
