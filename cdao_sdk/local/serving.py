"""The model server of batch transform: runs inside the job's process, standard library only.

    serving.py '{"connections": 2, "model_dir": "…", "handlers": "…/x.py", "built_in": false}'

Loads the handlers with the semantics of SageMaker's inference toolkit (`model_fn`, `input_fn`,
`predict_fn`, `output_fn`, or `transform_fn` for the last three) and answers on the sockets that it
inherits as file descriptors 3, 4, …, one thread each. A message is a line of JSON and a body:
``{"content_type", "accept", "length"}`` in, ``{"status", "content_type", "length"}`` out. The first
line on each socket is ``{"ready": true}``, once the model is loaded; a model that cannot be loaded
ends the process. Imports nothing of the package.
"""

from __future__ import annotations

import importlib.util
import io
import json
import os
import socket
import sys
import threading
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import ModuleType

# Bodies of these types reach the handlers as text. Source: content_types.UTF8_TYPES of the toolkit.
_TEXT_TYPES = ("application/json", "text/csv")
_DEFAULT_TYPE = "application/json"  # of a request that does not say its own
_DEFAULT_ACCEPT = os.environ.get("SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT", "application/json")


class UnsupportedFormat(Exception):
    """No default handler reads or writes this content type."""

    status_code = 415


class Handlers:
    """A model and the functions around it.

    Args:
        module: the user's, or a built-in algorithm's.
        model_dir: where the model's files are.
    """

    def __init__(self, module: ModuleType, model_dir: str) -> None:
        self._input: Callable[..., Any] = getattr(module, "input_fn", default_input)
        self._predict: Callable[..., Any] = getattr(module, "predict_fn", default_predict)
        self._output: Callable[..., Any] = getattr(module, "output_fn", default_output)
        self._transform: Callable[..., Any] | None = getattr(module, "transform_fn", None)
        parts = ("input_fn", "predict_fn", "output_fn")
        if self._transform and any(hasattr(module, name) for name in parts):
            msg = (
                "Cannot use transform_fn implementation in conjunction with input_fn, predict_fn, "
                "and/or output_fn implementation"
            )
            raise ValueError(msg)
        if not hasattr(module, "model_fn"):
            msg = "Please provide a model_fn implementation: there is no default one"
            raise NotImplementedError(msg)
        self._model = module.model_fn(model_dir)

    def answer(self, body: bytes, content_type: str, accept: str) -> tuple[bytes, str]:
        """The response to one request, and its content type."""
        data = body.decode() if _media_type(content_type) in _TEXT_TYPES else body
        if self._transform:
            return _response(self._transform(self._model, data, content_type, accept), accept)
        prediction = self._predict(self._input(data, content_type), self._model)
        return _response(self._output(prediction, accept), accept)


def default_input(data: bytes | str, content_type: str) -> Any:
    """Numbers as a numpy array, as the toolkit's decoder gives them."""
    import numpy as np

    kind = _media_type(content_type)
    if kind == "application/json":
        return np.array(json.loads(data))
    if kind == "text/csv":
        return np.genfromtxt(io.StringIO(str(data)), delimiter=",")
    if kind == "application/x-npy":
        return np.load(io.BytesIO(cast("bytes", data)))
    msg = f"Content type {content_type} is not supported by this framework."
    raise UnsupportedFormat(msg)


def default_predict(data: Any, model: Any) -> Any:
    """`model.predict`, or the model itself where it is a function."""
    return model.predict(data) if hasattr(model, "predict") else model(data)


def default_output(prediction: Any, accept: str) -> tuple[bytes | str, str]:
    """JSON, CSV or npy, as the toolkit's encoder writes them."""
    kind = _media_type(accept)
    values = prediction.tolist() if hasattr(prediction, "tolist") else prediction
    if kind in ("application/json", "*/*"):
        return json.dumps(values), "application/json"
    if kind == "text/csv":
        rows = cast("list[Any]", values) if isinstance(values, list) else [values]
        return "".join(f"{_csv_line(row)}\n" for row in rows), "text/csv"
    if kind == "application/x-npy":
        import numpy as np

        stream = io.BytesIO()
        np.save(stream, prediction)
        return stream.getvalue(), kind
    msg = f"Accept type {accept} is not supported by this framework."
    raise UnsupportedFormat(msg)


def serve(handlers: Handlers, connection: socket.socket) -> None:
    """Answer requests on one connection until it is closed."""
    with connection, connection.makefile("rwb") as stream:
        _send(stream, {"ready": True})
        while line := stream.readline():
            request = json.loads(line)
            body = stream.read(request["length"])
            try:
                given = request["content_type"] or _DEFAULT_TYPE
                accept = request["accept"] or _DEFAULT_ACCEPT
                answer, content_type = handlers.answer(body, given, accept)
                status = 200
            except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever the user raises
                traceback.print_exc()
                answer, content_type = _describe(error).encode(), "text/plain"
                status = getattr(error, "status_code", 500)
            header = {"status": status, "content_type": content_type, "length": len(answer)}
            _send(stream, header, answer)


def load(path: Path, *, built_in: bool) -> ModuleType:
    """Import the module with the handlers.

    Args:
        path: its file; the folder of a user's module comes first on the path.
        built_in: whether it is an algorithm of ours, which may be called like a package it imports.

    Raises:
        ImportError: there is no such file.
    """
    name = f"built_in_{path.stem}" if built_in else path.stem
    if not built_in:
        sys.path.insert(0, str(path.parent))
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None or not path.is_file():
        msg = f"{path} is no Python module"
        raise ImportError(msg)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def _response(result: Any, accept: str) -> tuple[bytes, str]:
    """What a handler may return: text, bytes, a pair with the content type, a web response."""
    if isinstance(result, tuple):
        result, accept = cast("tuple[Any, str]", result)
    if hasattr(result, "get_data"):
        accept = getattr(result, "mimetype", accept)
        result = result.get_data()
    if isinstance(result, (bytes, bytearray)):
        return bytes(result), accept
    return (result if isinstance(result, str) else json.dumps(result)).encode(), accept


def _csv_line(row: Any) -> str:
    columns = cast("list[Any]", row) if isinstance(row, list) else [row]
    return ",".join(map(str, columns))


def _send(stream: io.BufferedRWPair, header: Mapping[str, object], body: bytes = b"") -> None:
    stream.write(json.dumps(header).encode() + b"\n" + body)
    stream.flush()


def _describe(error: BaseException) -> str:
    return "".join(traceback.format_exception_only(type(error), error)).strip()


def _media_type(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


def main() -> None:
    """Load the model, then serve every connection until the job ends."""
    sys.path.pop(0)  # the folder of this file, whose modules are not the user's
    settings = json.loads(sys.argv[1])
    module = load(Path(settings["handlers"]), built_in=settings["built_in"])
    handlers = Handlers(module, settings["model_dir"])
    connections = [socket.socket(fileno=3 + number) for number in range(settings["connections"])]
    threads = [threading.Thread(target=serve, args=(handlers, each)) for each in connections]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main()
