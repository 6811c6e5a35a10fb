"""Renders a container's arguments, as flyteplugins' template package does."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence

import msgpack
from flyteidl.core import literals_pb2, tasks_pb2

from flyte_double.blobs import Blobs
from flyte_double.state import Context

_PLACE = re.compile(r"{{\s*[.$](\w+)(?:\.([^}\s]+))?\s*}}")


def render(
    arguments: Sequence[str],
    places: Mapping[str, str],
    inputs: Mapping[str, literals_pb2.Literal],
) -> list[str]:
    """The arguments with paths and inputs filled in.

    Args:
        arguments: As registered.
        places: Values of the templates, by lower-case name.
        inputs: The task's inputs.

    Raises:
        ValueError: an input is asked for that is not there.
    """

    def value(found: re.Match[str]) -> str:
        name = found[1].lower()
        if name == "inputs" and found[2]:
            if found[2] not in inputs:
                msg = f"requested input is not found [{found[2]}]"
                raise ValueError(msg)
            return _text(inputs[found[2]])
        return places.get(name, found[0])

    return [_PLACE.sub(value, argument) for argument in arguments]


def _text(literal: literals_pb2.Literal) -> str:
    if literal.HasField("collection"):
        return "[" + ",".join(_text(item) for item in literal.collection.literals) + "]"
    scalar = literal.scalar
    kind = scalar.WhichOneof("value")
    if kind == "primitive":
        value = getattr(scalar.primitive, scalar.primitive.WhichOneof("value") or "string_value")
        if isinstance(value, bool):
            return str(value).lower()
        return value.ToJsonString() if hasattr(value, "ToJsonString") else str(value)
    if kind in ("blob", "schema"):
        return str(getattr(scalar, kind).uri)
    if kind == "binary":
        return str(msgpack.unpackb(scalar.binary.value))
    msg = f"received an unexpected scalar type [{kind}]"
    raise ValueError(msg)


def raw_prefix(ctx: Context) -> str:
    """Where an attempt's own files go; the name is spread over shards."""
    name = ctx.generated_name
    shard = hashlib.sha256(name.encode()).hexdigest()[:2]
    return f"{ctx.resource.raw_output_prefix}/{shard}/{name}"


def checkpoint_uri(ctx: Context) -> str:
    return f"{raw_prefix(ctx)}/_flytecheckpoints"


def rendered(ctx: Context, blobs: Blobs) -> tuple[tasks_pb2.TaskTemplate, literals_pb2.LiteralMap]:
    """The task's template with its container's arguments filled in, and its inputs."""
    template = tasks_pb2.TaskTemplate()
    if ctx.template is not None:
        template.CopyFrom(ctx.template)
    inputs = ctx.given_inputs
    if inputs is None:
        inputs = blobs.read(ctx.inputs_uri, literals_pb2.LiteralMap())
    if not template.HasField("container"):
        return template, inputs
    name, raw = ctx.generated_name, raw_prefix(ctx)
    places = {
        "input": ctx.inputs_uri,
        "inputprefix": ctx.data_dir,
        "outputprefix": ctx.output_dir,
        "rawoutputdataprefix": raw,
        "prevcheckpointprefix": '""',
        "checkpointoutputprefix": checkpoint_uri(ctx),
        "perretryuniquekey": name.replace("-", "_"),
        "namespace": f"{ctx.resource.id.project}-{ctx.resource.id.domain}",
        "tasktemplatepath": f"{ctx.data_dir}/task.pb",
    }
    arguments = render(template.container.args, places, inputs.literals)
    del template.container.args[:]
    template.container.args.extend(arguments)
    return template, inputs
