"""What a test may do to the calls that Propeller makes to a connector."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from google.protobuf.message import Message


@dataclass(frozen=True)
class ConnectorCall:
    """One call to the connector.

    Attributes:
        method: ``CreateTask``, ``GetTask`` or ``DeleteTask``.
        request: What is sent.
        moment: ``before`` it is sent, or ``after`` its answer has come.
    """

    method: str
    request: Message
    moment: Literal["before", "after"]


class LostCall(Exception):
    """Raised by a hook: the request (``before``) or its answer (``after``) is lost."""
