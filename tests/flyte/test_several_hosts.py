"""`distribution=` through all layers, on hosts that really run as processes."""

from __future__ import annotations

import shutil
from importlib.util import find_spec

import pytest
import several_hosts as flows

import cdao_sdk
from cdao_sdk.errors import JobFailed

pytestmark = pytest.mark.usefixtures("on_embedded")


@pytest.mark.skipif(shutil.which("mpirun") is None, reason="needs Open MPI")
def test_mpi_starts_the_processes_of_all_hosts() -> None:
    execution = cdao_sdk.run(flows.by_mpi, {}).wait(timeout=90)
    assert execution.outputs["o0"] == [0, 4, 2]


def test_torchrun_starts_them_where_pytorch_is_and_says_so_where_it_is_not() -> None:
    execution = cdao_sdk.run(flows.by_torchrun, {})
    if find_spec("torch") is None:
        with pytest.raises(JobFailed, match="distribution='torchrun' needs PyTorch"):
            execution.wait(timeout=90)
    else:
        assert execution.wait(timeout=90).outputs["o0"] == 2
