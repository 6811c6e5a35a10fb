from __future__ import annotations

import functools
import importlib.util
import warnings
from collections.abc import Callable
from pathlib import Path
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


@pytest.fixture(scope="session")
def sagemaker_image_uris() -> Any:
    """SageMaker's SDK as it resolves images; skips where the extra `sagemaker` is not installed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        uris = pytest.importorskip("sagemaker.core.image_uris", reason="needs the group images")
    # It reads its files again for each image; nothing changes them.
    uris.config_for_framework = functools.cache(uris.config_for_framework)
    uris.utils._botocore_resolver = functools.cache(uris.utils._botocore_resolver)
    return uris


@pytest.fixture(scope="session")
def generate_catalog() -> Any:
    """scripts/generate_catalog.py as a module."""
    path = Path(__file__).parents[2] / "scripts" / "generate_catalog.py"
    spec = importlib.util.spec_from_file_location("generate_catalog", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
