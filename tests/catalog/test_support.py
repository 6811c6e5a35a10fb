from __future__ import annotations

import datetime as dt

import pytest

from cdao_sdk.catalog.advice import advice
from cdao_sdk.catalog.images import algorithms, find, frameworks, newest_version, versions
from cdao_sdk.catalog.support import end_of_support, lapsed, python_end_of_life
from cdao_sdk.catalog.tables import table

DAY = dt.date(2026, 11, 24)


@pytest.mark.parametrize(
    ("name", "version", "scope", "end"),
    [
        ("pytorch", "2.13", "training", dt.date(2027, 7, 20)),
        ("pytorch", "2.6.0", "training", dt.date(2026, 1, 29)),
        ("pytorch", "2.6.0", "inference", dt.date(2026, 6, 30)),
        ("pytorch", "2.10.0", "training", dt.date(2027, 1, 21)),
        ("tensorflow", "2.14.1", "training", dt.date(2024, 9, 26)),
        ("scikit-learn", "1.9-0", "training", dt.date(2027, 7, 16)),
        ("xgboost", "3.2-0", "inference", dt.date(2027, 5, 13)),
        ("pytorch", "2.14", "training", None),
        ("pytorch", "1.8.0", "training", None),
        ("scikit-learn", "0.23-1", "training", None),
        ("huggingface", "4.49.0", "training", None),
        ("kmeans", "1", "training", None),
    ],
)
def test_end_of_support(name: str, version: str, scope: str, end: dt.date | None) -> None:
    assert end_of_support(name, version, scope) == end


def test_an_image_tells_its_end_of_support() -> None:
    assert find("pytorch", "2.13").end_of_support == dt.date(2027, 7, 20)
    assert find("pytorch", "2.6", "inference").end_of_support == dt.date(2026, 6, 30)
    assert find("kmeans", "1").end_of_support is None


def test_support_ends_after_its_last_day() -> None:
    last = dt.date(2027, 7, 20)
    assert lapsed("pytorch", "2.13", "training", last) == ""
    assert "since 2027-07-20" in lapsed("pytorch", "2.13", "training", last + dt.timedelta(days=1))


@pytest.mark.parametrize(
    ("name", "version", "said"),
    [
        (
            "pytorch",
            "1.8.0",
            (
                "the image is older than 1.13, which has had no security patches since 2024-10-28 "
                "and has Python 3.6, which has had no security fixes since 2021-12-23; "
                "AWS supports 2.10.0, 2.11, 2.12, 2.13"
            ),
        ),
        ("scikit-learn", "1.4-2", "the image is no longer supported by AWS; AWS supports 1.9-0"),
        ("scikit-learn", "1.9-0", ""),
        ("xgboost", "1.7-1", ""),
        ("pytorch", "2.14", ""),
        ("huggingface", "5.3.0", ""),
        ("kmeans", "1", ""),
    ],
)
def test_advice(name: str, version: str, said: str) -> None:
    assert advice(find(name, version), DAY) == said


@pytest.mark.parametrize("name", sorted({*frameworks(), *algorithms()}))
def test_nothing_is_said_of_the_version_that_is_taken_by_default(name: str) -> None:
    assert advice(find(name, newest_version(name)), DAY) == ""


def test_every_dated_version_has_an_image() -> None:
    for name, scopes in table("support")["end_of_patch"].items():
        for scope, dates in scopes.items():
            known = versions(name, scope)
            for version in dates:
                assert any(v == version or v.startswith(f"{version}.") for v in known), version


def test_python_that_is_still_mended_has_no_end() -> None:
    assert python_end_of_life("3.6") == dt.date(2021, 12, 23)
    assert python_end_of_life("3.12") is None
