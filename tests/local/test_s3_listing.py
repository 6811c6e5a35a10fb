"""Listings: order, prefixes, delimiters and pages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cdao_sdk.local.s3.listing import page

if TYPE_CHECKING:
    from cdao_sdk.local import LocalSageMaker

BUCKET = "test-bucket"
KEYS = ["a", "a/b", "a/c/d", "a/c/e", "b/", "b/1", "c", "d/z z", "d/ä"]


@pytest.fixture
def filled(s3: Any) -> Any:
    for key in KEYS:
        s3.put_object(Bucket=BUCKET, Key=key, Body=b"x")
    return s3


@pytest.mark.parametrize("call", ["list_objects_v2", "list_objects"])
@pytest.mark.parametrize("size", [1, 2, 3, 1000])
@pytest.mark.parametrize("prefix", ["", "a", "a/", "d/", "zzz"])
def test_pages_together_give_every_key_once(filled: Any, call: str, size: int, prefix: str) -> None:
    pages = filled.get_paginator(call).paginate(
        Bucket=BUCKET, Prefix=prefix, PaginationConfig={"PageSize": size}
    )
    found = [one["Key"] for part in pages for one in part.get("Contents", [])]
    assert found == [key for key in KEYS if key.startswith(prefix)]


@pytest.mark.parametrize("call", ["list_objects_v2", "list_objects"])
@pytest.mark.parametrize("size", [1, 2, 1000])
def test_a_delimiter_rolls_keys_up_across_pages(filled: Any, call: str, size: int) -> None:
    pages = [
        *filled.get_paginator(call).paginate(
            Bucket=BUCKET, Delimiter="/", PaginationConfig={"PageSize": size}
        )
    ]
    keys = [one["Key"] for part in pages for one in part.get("Contents", [])]
    prefixes = [one["Prefix"] for part in pages for one in part.get("CommonPrefixes", [])]
    assert keys == ["a", "c"]
    assert prefixes == ["a/", "b/", "d/"]


def test_start_after_skips_what_is_before(filled: Any) -> None:
    listed = filled.list_objects_v2(Bucket=BUCKET, StartAfter="a/c/d", MaxKeys=2)
    assert [one["Key"] for one in listed["Contents"]] == ["a/c/e", "b/"]
    assert listed["IsTruncated"]
    assert listed["KeyCount"] == 2


@example(keys={"ab", "aba"}, prefix="a", delimiter="ab", size=1)  # "ab" is a key, no prefix
@given(
    keys=st.sets(st.text(alphabet="ab/", min_size=1, max_size=6)),
    prefix=st.text(alphabet="ab/", max_size=2),
    delimiter=st.sampled_from(["", "/", "b", "ab"]),
    size=st.integers(1, 4),
)
def test_pages_of_any_listing_add_up_to_the_whole(
    keys: set[str], prefix: str, delimiter: str, size: int
) -> None:
    ordered = sorted(key for key in keys if key.startswith(prefix))
    whole = page(ordered, prefix=prefix, delimiter=delimiter, after="", size=1000)
    found_keys: list[str] = []
    found_prefixes: list[str] = []
    after = ""
    for _ in range(100):
        part = page(ordered, prefix=prefix, delimiter=delimiter, after=after, size=size)
        found_keys += part.keys
        found_prefixes += part.prefixes
        if part.last is None:
            break
        after = part.last
    assert (found_keys, found_prefixes) == (whole.keys, whole.prefixes)


def test_a_list_of_many_pages_has_each_key_once(server: LocalSageMaker, s3: Any) -> None:
    keys = [f"data/part-{number:05}.csv" for number in range(2_500)]
    for key in keys:
        server.objects.put_bytes(BUCKET, key, b"x")
    pages = list(s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix="data/"))
    assert [page["KeyCount"] for page in pages] == [1_000, 1_000, 500]
    assert [one["Key"] for page in pages for one in page["Contents"]] == keys
