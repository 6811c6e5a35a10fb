"""Channels in Pipe mode: a named pipe for each pass over the data."""

from __future__ import annotations

import ast
import gzip
import json
from typing import TYPE_CHECKING

import pytest

from .test_training import channel

if TYPE_CHECKING:
    from .conftest import Laboratory

READ = (
    "import json; root = '/opt/ml/input/data/';"
    "print([open(f'{root}c_{epoch}', 'rb').read() for epoch in range(2)]);"
    "print(json.load(open('/opt/ml/input/config/inputdataconfig.json'))['c']['TrainingInputMode'])"
)


def test_each_pass_reads_all_objects(lab: Laboratory) -> None:
    lab.put("d/1", "one,")
    lab.put("d/2", "two")
    given = channel("c", "s3://bucket/d/", InputMode="Pipe")
    outcome = lab.train(READ, InputDataConfig=[given])
    assert outcome.status == "Completed", lab.log.text()
    assert lab.log.text() == "[b'one,two', b'one,two']\nPipe\n"


def test_objects_are_unpacked_and_wrapped_as_records(lab: Laboratory) -> None:
    lab.put("d/1.gz", gzip.compress(b"hello"))
    given = channel(
        "c",
        "s3://bucket/d/",
        InputMode="Pipe",
        CompressionType="Gzip",
        RecordWrapperType="RecordIO",
    )
    lab.train(READ, InputDataConfig=[given])
    record = b"\x0a\x23\xd7\xce" + b"\x05\0\0\0" + b"hello\0\0\0"
    assert lab.log.text().splitlines()[0] == str([record, record])


def test_a_job_may_stop_reading_or_never_begin(lab: Laboratory) -> None:
    lab.put("d/1", b"x" * 3_000_000)
    given = [channel(name, "s3://bucket/d/", InputMode="Pipe") for name in ("a", "b")]
    code = (
        "root = '/opt/ml/input/data/a_'\n"
        "with open(root + '0', 'rb') as pipe: print(len(pipe.read(10)))\n"
        "print(len(open(root + '1', 'rb').read()))"
    )
    outcome = lab.train(code, InputDataConfig=given)
    assert outcome.status == "Completed", lab.log.text()
    assert lab.log.text() == "10\n3000000\n"


def test_without_objects_the_job_fails(lab: Laboratory) -> None:
    outcome = lab.train("", InputDataConfig=[channel("c", "s3://bucket/no/", InputMode="Pipe")])
    assert "No S3 objects found" in str(outcome.failure_reason)


def augmented(uri: str, *attributes: str, **more: object) -> dict[str, object]:
    source = {
        "S3DataType": "AugmentedManifestFile",
        "S3Uri": uri,
        "AttributeNames": list(attributes),
    }
    given = {"ChannelName": "c", "DataSource": {"S3DataSource": source}, "InputMode": "Pipe"}
    return {**given, **more}


def test_an_augmented_manifest_gives_its_attributes_and_what_they_refer_to(
    lab: Laboratory,
) -> None:
    lab.put("d/1.jpg", "ONE")
    lab.put("d/2.jpg", "TWO")
    lines = [
        {"source-ref": "s3://bucket/d/1.jpg", "label": 1, "text": "é", "other": None},
        {"text": "b", "label": {"x": [2]}, "source-ref": "s3://bucket/d/2.jpg"},
    ]
    lab.put("m", "\n".join(map(json.dumps, lines)) + "\n\n")
    given = augmented("s3://bucket/m", "source-ref", "label", "text")
    outcome = lab.train(READ, InputDataConfig=[given])
    assert outcome.status == "Completed", lab.log.text()
    expected = 'ONE1éTWO{"x": [2]}b'.encode()
    assert lab.log.text().splitlines()[0] == str([expected, expected])


def test_the_lines_of_an_augmented_manifest_are_shuffled_as_a_whole(lab: Laboratory) -> None:
    lab.put("m", "\n".join(f'{{"a": {number}, "b": "-{number},"}}' for number in range(20)))
    shuffle = {"ShuffleConfig": {"Seed": 3}}
    lab.train(READ, InputDataConfig=[augmented("s3://bucket/m", "a", "b", **shuffle)])
    first, second = ast.literal_eval(lab.log.text().splitlines()[0])
    pairs = [f"{number}-{number}".encode() for number in range(20)]
    assert first != second
    assert sorted(first.rstrip(b",").split(b",")) == sorted(pairs)
    assert sorted(second.rstrip(b",").split(b",")) == sorted(pairs)


@pytest.mark.parametrize(
    ("manifest", "words"),
    [
        ('{"a-ref": "s3://bucket/x"}\n{', "Line 2 of the augmented manifest s3://bucket/m is not"),
        ('{"b": 1}', "AttributeNames ['a-ref'] are not in line 1"),
        ("[1]", "AttributeNames ['a-ref'] are not in line 1"),
        ('{"a-ref": 3}', "'a-ref' must be an S3 URI in line 1"),
        ('{"a-ref": "x.jpg"}', "Invalid S3 URI 'x.jpg'"),
        ("\n", "has no lines"),
        (None, "NoSuchKey"),
    ],
)
def test_what_is_wrong_with_an_augmented_manifest_is_said(
    lab: Laboratory, manifest: str | None, words: str
) -> None:
    if manifest is not None:
        lab.put("m", manifest)
    outcome = lab.train("", InputDataConfig=[augmented("s3://bucket/m", "a-ref")])
    assert words in str(outcome.failure_reason)
