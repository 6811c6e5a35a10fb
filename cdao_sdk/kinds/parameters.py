"""What a task's parameters become in a job: channels, hyperparameters, values, model, input.

The annotation decides first (``Annotated[str, Channel("train")]``), then the type, then the name.
Every decision carries a sentence that says why.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from cdao_sdk.errors import SpecError
from cdao_sdk.kinds.channel_rules import RESERVED_CHANNELS, channel_problems
from cdao_sdk.kinds.channels import Channel, Parameter, ParameterRole, ParameterType

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cdao_sdk.kinds.channel_rules import ChannelRules

__all__ = [
    "RESERVED_CHANNELS",
    "Channel",
    "Parameter",
    "ParameterRole",
    "ParameterType",
    "algorithm_roles",
    "body_roles",
    "transform_roles",
]

_MODEL_CONTENT_TYPE = "application/x-sagemaker-model"

_DATA_TYPES = ("file", "directory", "dataframe")
_MAPPING_TYPES = ("struct", "map")
_TRAIN_WORDS = frozenset(("train", "training"))
_VALIDATION_WORDS = frozenset(("validation", "val", "test"))
_DATA_WORDS = frozenset(
    ("data", "dataset", "datasets", "path", "paths", "uri", "uris", "input", "inputs")
)
_MODEL_WORDS = frozenset(("model", "artifact", "artifacts"))
_OUTPUT_WORDS = frozenset(("output", "outputs", "result", "results"))
_HYPERPARAMETER_WORDS = frozenset(("hyperparameters", "hyperparams", "params", "config"))


def body_roles(parameters: Sequence[Parameter], rules: ChannelRules) -> tuple[ParameterRole, ...]:
    """Roles for a job that runs the user's function: data comes by channel, the rest by value.

    Args:
        parameters: The task's parameters.
        rules: What channels of this kind of job may be.

    Raises:
        SpecError: Two parameters want one channel, or a channel cannot be.
    """
    roles = [_body_role(parameter) for parameter in parameters]
    problems = [_manifest_problem(p) for p in parameters if _is_unread_manifest(p)]
    _raise([*problems, *channel_problems(roles, rules)])
    return tuple(roles)


def algorithm_roles(
    parameters: Sequence[Parameter], rules: ChannelRules
) -> tuple[ParameterRole, ...]:
    """Roles for a built-in algorithm: data, hyperparameters, and nothing else.

    Args:
        parameters: The task's parameters.
        rules: What channels of this kind of job may be.

    Raises:
        SpecError: No parameter names data, or one fits nowhere.
    """
    problems = [_pickle_problem(p) for p in parameters if p.type == "pickle"]
    train = _train_parameter(parameters)
    roles = [_algorithm_role(p, is_train=p is train) for p in parameters if p.type != "pickle"]
    if not any(role.role == "channel" for role in roles):
        problems.append(
            "no parameter holds data to train on: add one such as 'train_data: str' or "
            f"'train: FlyteFile'; found {_found(parameters)}"
        )
    _raise([*problems, *channel_problems(roles, rules)])
    return tuple(roles)


def transform_roles(
    parameters: Sequence[Parameter], rules: ChannelRules
) -> tuple[ParameterRole, ...]:
    """Roles for a batch transform: one model, one input, the rest environment of the model.

    Args:
        parameters: The task's parameters.
        rules: What the input of this kind of job may be.

    Raises:
        SpecError: Model or input is missing, or a parameter fits nowhere.
    """
    model = next((p for p in parameters if _is_marked(p, model=True)), None)
    model = model or next((p for p in parameters if _is_model(p)), None)
    data = next((p for p in parameters if _is_marked(p, model=False)), None)
    data = data or next((p for p in parameters if p is not model and _is_data(p)), None)
    problems: list[str] = []
    found = _found(parameters)
    if model is None:
        problems.append(f"no parameter holds the model: add 'model_path: str'; found {found}")
    if data is None:
        problems.append(
            f"no parameter holds the data to transform: add 'input_data_path: str'; found {found}"
        )
    roles: list[ParameterRole] = []
    for parameter in parameters:
        if parameter is model:
            roles.append(ParameterRole(parameter.name, "model", _marked(parameter, "the model")))
        elif parameter is data:
            roles.append(_channel_role(parameter, "input", "the data to transform", role="input"))
        elif parameter.channel is not None:
            problems.append(
                f"{parameter.name} is a second channel; a transform has one model and one input"
            )
        elif parameter.type == "pickle":
            why = (
                f"{parameter.name} does not reach the model: Flyte pickles values of Any, which"
                " only a Python body reads; annotate it dict, and it goes to the environment"
            )
            roles.append(ParameterRole(parameter.name, "unused", why))
        else:
            why = f"{parameter.name} goes to the model's environment: it is neither model nor input"
            roles.append(ParameterRole(parameter.name, "environment", why))
    if model is not None and model.channel is not None and model.channel.options:
        options = ", ".join(model.channel.options)
        problems.append(f"{model.name} is the model, whose Channel takes no {options}")
    _raise([*problems, *channel_problems(roles, rules)])
    return tuple(roles)


def _body_role(parameter: Parameter) -> ParameterRole:
    if parameter.channel is not None or parameter.type in _DATA_TYPES:
        return _channel_role(parameter, parameter.name, f"it is a {parameter.type}")
    kind = f"an {parameter.type}" if parameter.type == "integer" else f"a {parameter.type}"
    why = f"{parameter.name} is handed to the function: {kind} travels by value"
    return ParameterRole(parameter.name, "value", why)


def _algorithm_role(parameter: Parameter, *, is_train: bool) -> ParameterRole:
    name, words = parameter.name, _words(parameter.name)
    if parameter.channel is not None:
        return _channel_role(parameter, name, "")
    if is_train:
        return _channel_role(parameter, "train", "it is the first that names data")
    if _is_model(parameter):
        why = "its name says it is a model to go on from"
        return _channel_role(parameter, "model", why, content_type=_MODEL_CONTENT_TYPE)
    if _is_data(parameter):
        if words & _VALIDATION_WORDS:
            return _channel_role(parameter, "validation", "its name says so")
        return _channel_role(parameter, name, "it names data, and 'train' is taken")
    if parameter.type in _MAPPING_TYPES and words & _HYPERPARAMETER_WORDS:
        why = f"{name} holds hyperparameters: its name says so"
        return ParameterRole(name, "hyperparameters", why)
    why = f"{name} is one hyperparameter: a {parameter.type} that names no data"
    return ParameterRole(name, "hyperparameter", why)


def _train_parameter(parameters: Sequence[Parameter]) -> Parameter | None:
    """What goes to channel ``train``, unless an annotation has taken it."""
    if any(p.channel and (p.channel.name or p.name) == "train" for p in parameters):
        return None
    candidates = [
        p
        for p in parameters
        if p.channel is None
        and _is_data(p)
        and not _is_model(p)
        and not _words(p.name) & _VALIDATION_WORDS
    ]
    named = [p for p in candidates if _words(p.name) & _TRAIN_WORDS]
    return next(iter(named or candidates), None)


def _channel_role(
    parameter: Parameter,
    channel: str,
    because: str,
    *,
    role: Literal["channel", "input"] = "channel",
    content_type: str | None = None,
) -> ParameterRole:
    mark = parameter.channel
    if mark is None:
        why = f"{parameter.name} feeds channel {channel!r}: {because}"
        return ParameterRole(parameter.name, role, why, channel=channel, content_type=content_type)
    if role == "channel":
        channel = mark.name or parameter.name
    return ParameterRole(
        parameter.name,
        role,
        f"{parameter.name} feeds channel {channel!r}: it is annotated so",
        channel=channel,
        **mark.options,
    )


def _raise(problems: Sequence[str]) -> None:
    if problems:
        msg = "the task's parameters do not fit the job"
        raise SpecError(msg, problems=problems)


def _is_marked(parameter: Parameter, *, model: bool) -> bool:
    return parameter.channel is not None and (parameter.channel.name == "model") == model


def _marked(parameter: Parameter, what: str) -> str:
    reason = "it is annotated so" if parameter.channel else "its name says so"
    return f"{parameter.name} is {what}: {reason}"


def _is_model(parameter: Parameter) -> bool:
    names_model = bool(_words(parameter.name) & _MODEL_WORDS)
    return names_model and parameter.type in ("string", "file", "directory")


def _is_data(parameter: Parameter) -> bool:
    if parameter.type in _DATA_TYPES:
        return True
    words = parameter.name.lower().split("_")
    names_data = words[-1] in _DATA_WORDS | _TRAIN_WORDS | _VALIDATION_WORDS
    names_split = words[0] in _TRAIN_WORDS | _VALIDATION_WORDS
    is_output = bool(_OUTPUT_WORDS & set(words))
    return parameter.type == "string" and (names_data or names_split) and not is_output


def _words(name: str) -> set[str]:
    return set(name.lower().split("_"))


def _is_unread_manifest(parameter: Parameter) -> bool:
    mark = parameter.channel
    is_manifest = mark is not None and mark.data_type not in (None, "S3Prefix")
    return is_manifest and parameter.type != "string"


def _manifest_problem(parameter: Parameter) -> str:
    return (
        f"{parameter.name} names a manifest, so the function gets a folder with what it lists, "
        f"which no {parameter.type} holds: annotate it str"
    )


def _pickle_problem(parameter: Parameter) -> str:
    return (
        f"{parameter.name} is of a type that only Python can read; "
        "use a number, str, dict, FlyteFile or FlyteDirectory"
    )


def _found(parameters: Sequence[Parameter]) -> str:
    return ", ".join(f"{p.name} ({p.type})" for p in parameters) or "no parameters"
