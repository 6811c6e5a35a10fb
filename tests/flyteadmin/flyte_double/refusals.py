"""FlyteAdmin's errors, as gRPC status codes."""

from __future__ import annotations

import re
from typing import NoReturn

import grpc
from google.protobuf import text_format
from google.protobuf.message import Message

Code = grpc.StatusCode


class Refused(Exception):
    """A call is answered with this status."""

    def __init__(self, code: grpc.StatusCode, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


def invalid(message: str) -> NoReturn:
    raise Refused(Code.INVALID_ARGUMENT, message)


def missing(kind: str, identifier: Message) -> NoReturn:
    said = re.sub(r"resource_type:\S+ ", "", go_text(identifier))
    raise Refused(Code.NOT_FOUND, f"missing entity of type {kind} with identifier {said}")


def go_text(message: Message) -> str:
    """A message as Go prints it."""
    text = text_format.MessageToString(message, as_one_line=True).strip()
    return re.sub(r" (\w+) { (.*?) }", r" \1:{\2}", re.sub(r"(\w+): ", r"\1:", text))


def exists(message: str) -> NoReturn:
    raise Refused(Code.ALREADY_EXISTS, message)
