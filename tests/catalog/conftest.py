from __future__ import annotations

from collections.abc import Callable
from typing import Any

import botocore.loaders
import pytest


@pytest.fixture(scope="session")
def instance_enum() -> Callable[[str], list[str]]:
    """Instance types in botocore's service model, by the enum's name."""
    shapes: dict[str, Any] = botocore.loaders.Loader().load_service_model("sagemaker", "service-2")[
        "shapes"
    ]
    return lambda name: shapes[name]["enum"]
