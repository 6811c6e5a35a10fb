"""The tests' FlyteAdmin with its S3, as a process: `python -m benchmarks.flyte_backend READY_FILE`.

There is no connector: what is started does not get far.
"""

from __future__ import annotations

import json
import signal
import sys
import tempfile
import threading
from pathlib import Path

TESTS = Path(__file__).parent.parent / "tests" / "flyteadmin"


def _serve(ready: Path) -> None:
    sys.path.insert(0, str(TESTS))
    from flyte_double import FlyteDouble

    from cdao_sdk.local.server import LocalSageMaker

    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    with tempfile.TemporaryDirectory() as folder, LocalSageMaker(Path(folder)) as server:
        server.objects.create_bucket("flyte-double")
        with FlyteDouble(server.url, "flyte-double") as flyte:
            whole = ready.with_suffix(".part")
            whole.write_text(json.dumps({"admin": flyte.endpoint, "aws": server.url}))
            whole.replace(ready)
            ended.wait()


if __name__ == "__main__":
    _serve(Path(sys.argv[1]))
