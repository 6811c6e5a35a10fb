"""Channels in Pipe mode: a named pipe for each pass over the data."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING

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
