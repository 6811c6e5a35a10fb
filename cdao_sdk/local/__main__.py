"""`python -m cdao_sdk.local`: the embedded SageMaker as a process of its own."""

from __future__ import annotations

import argparse
import json
import logging
import os
import signal
import threading
from pathlib import Path

from cdao_sdk.local.server import LocalSageMaker


def main(arguments: list[str] | None = None) -> None:
    """Serve until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(prog="python -m cdao_sdk.local", description=__doc__)
    parser.add_argument("--state-dir", required=True, type=Path, help="where all state is kept")
    parser.add_argument("--host", default="127.0.0.1", help="a loopback address")
    parser.add_argument("--port", default=0, type=int, help="0 takes a free one")
    parser.add_argument("--concurrency", type=int, help="jobs at once (default: the CPUs)")
    parser.add_argument("--faults", help="faults that clients meet: JSON, or a file with it")
    parser.add_argument("--ready-file", type=Path, help="gets url and pid as JSON, once it answers")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: ended.set())
    server = LocalSageMaker(
        options.state_dir,
        options.host,
        options.port,
        concurrency=options.concurrency,
        faults=options.faults,
    )
    with server:
        logging.getLogger(__name__).info("the embedded SageMaker answers at %s", server.url)
        if options.ready_file:
            _announce(options.ready_file, server.url)
        ended.wait()


def _announce(path: Path, url: str) -> None:
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    draft.write_text(json.dumps({"url": url, "pid": os.getpid()}), encoding="utf-8")
    draft.replace(path)


if __name__ == "__main__":
    main()
