"""A notebook's kernel without a notebook: what it would send is made into JSON, and counted."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import comm
from comm.base_comm import BaseComm
from IPython.core.displaypub import DisplayPublisher
from IPython.core.interactiveshell import InteractiveShell

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Sent", "kernel"]


class Sent:
    """What has travelled to the browser so far.

    Attributes:
        bytes: Its length.
    """

    def __init__(self) -> None:
        self.bytes = 0

    def note(self, content: object) -> None:
        """Make it into JSON, as a kernel does, and count it."""
        self.bytes += len(json.dumps(content, default=str).encode())


def kernel() -> Sent:
    """Have ipywidgets and IPython's display send to nobody, from now on."""
    sent = Sent()

    class Comm(BaseComm):
        def publish_msg(self, msg_type: str, data: Any = None, **more: Any) -> None:  # noqa: ARG002 # as comm has it
            sent.note(data)

    class Publisher(DisplayPublisher):
        def publish(self, data: Mapping[str, object], *_: Any, **__: Any) -> None:
            sent.note(data)

    comm.create_comm = Comm
    InteractiveShell.instance(display_pub_class=Publisher)
    return sent
