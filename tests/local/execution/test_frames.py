"""Batch transform of RecordIO and TFRecord files."""

from __future__ import annotations

import io
import struct
from typing import TYPE_CHECKING

import pytest

from cdao_sdk.local.execution.context import JobFailed
from cdao_sdk.local.execution.frames import FORMATS, recordio

from .test_transform import ECHO, scripted, transform

if TYPE_CHECKING:
    from collections.abc import Callable

    from .conftest import Laboratory

MAGIC = struct.pack("<I", 0xCED7230A)


def as_recordio(content: bytes, part: int = 0) -> bytes:
    head = MAGIC + struct.pack("<I", part << 29 | len(content))
    return head + content + b"\0" * (-len(content) % 4)


def as_tfrecord(content: bytes) -> bytes:
    return struct.pack("<Q", len(content)) + b"CRC1" + content + b"CRC2"


WRAPPED: dict[str, Callable[[bytes], bytes]] = {"RecordIO": as_recordio, "TFRecord": as_tfrecord}


@pytest.mark.parametrize("split", FORMATS)
@pytest.mark.parametrize("strategy", ["SingleRecord", "MultiRecord"])
def test_a_record_is_unwrapped_where_it_is_sent_by_itself(
    lab: Laboratory, split: str, strategy: str
) -> None:
    contents = [b"one", b"", b"\x00two\n\n", b"three"]
    data = b"".join(map(WRAPPED[split], contents))
    lab.put("in/a", data)
    outcome = transform(
        lab,
        scripted(lab, ECHO),
        BatchStrategy=strategy,
        TransformInput={"SplitType": split, "ContentType": "application/octet-stream"},
        TransformOutput={"AssembleWith": "None"},
    )
    assert outcome.status == "Completed", outcome
    expected = b"".join(contents) if strategy == "SingleRecord" else data
    assert lab.get("out/a.out") == expected


def test_payloads_hold_as_many_records_as_fit(lab: Laboratory) -> None:
    lab.put("in/a", b"".join(as_tfrecord(b"x" * 400_000) for _ in range(5)))
    outcome = transform(
        lab,
        scripted(lab, ECHO.replace("return data", "return str(len(data))")),
        MaxPayloadInMB=1,
        TransformInput={"SplitType": "TFRecord", "ContentType": "application/octet-stream"},
    )
    assert outcome.status == "Completed", outcome
    assert lab.get("out/a.out").split() == [b"800032", b"800032", b"400016"]


@pytest.mark.parametrize(
    ("split", "data", "words"),
    [
        ("RecordIO", b"1,2,3\n4,5,6\n", "not in this format"),
        ("RecordIO", as_recordio(b"whole") + as_recordio(b"cut off")[:-3], "in the midst"),
        (
            "TFRecord",
            as_tfrecord(b"cut off")[:-1],
            "in the midst of a record of SplitType TF",
        ),
        ("TFRecord", b"label,feature\n1,2\n", "not in the format of SplitType"),
        ("RecordIO", MAGIC + struct.pack("<I", 2 << 20), "2097152 bytes is larger than Max"),
    ],
)
def test_data_of_another_format_fails_the_job(
    lab: Laboratory, split: str, data: bytes, words: str
) -> None:
    lab.put("in/a", data)
    outcome = transform(
        lab, scripted(lab, ECHO), MaxPayloadInMB=1, TransformInput={"SplitType": split}
    )
    assert str(outcome.failure_reason).startswith("ClientError: ")
    assert words in str(outcome.failure_reason)


def test_filters_need_records_that_can_be_looked_into(lab: Laboratory) -> None:
    lab.put("in/a", as_recordio(b"1"))
    outcome = transform(
        lab,
        scripted(lab, ECHO),
        TransformInput={"SplitType": "RecordIO"},
        DataProcessing={"InputFilter": "$[0]"},
    )
    assert "needs CSV or JSON, not SplitType RecordIO" in str(outcome.failure_reason)


def test_a_record_that_holds_the_magic_word_is_put_together_again() -> None:
    data = as_recordio(b"left", part=1) + as_recordio(b"mid", part=2) + as_recordio(b"end", part=3)
    [frame] = recordio(io.BytesIO(data), 100)
    assert frame == (data, MAGIC.join([b"left", b"mid", b"end"]))
    with pytest.raises(JobFailed, match="in the midst"):
        list(recordio(io.BytesIO(as_recordio(b"left", part=1)), 100))
