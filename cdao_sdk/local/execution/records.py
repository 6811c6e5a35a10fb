"""Records of a batch transform: split, filtered, packed into payloads, joined and assembled."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from cdao_sdk.local.execution.context import JobFailed
from cdao_sdk.local.execution.frames import FORMATS
from cdao_sdk.local.execution.jsonpath import compile_path
from cdao_sdk.local.execution.request import section, text, whole

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import BinaryIO

    from cdao_sdk.local.execution.request import Document

_JSON_TYPES = ("application/json", "application/jsonlines", "application/jsonl")


@dataclass(frozen=True)
class Batching:
    """How objects become payloads and answers become objects.

    Attributes:
        split: SplitType: what an object is split into.
        many: whether a payload holds as many records as fit (`MultiRecord`).
        payload_bytes: the largest payload.
        assemble_lines: whether answers are put together with line ends (`AssembleWith: Line`).
        is_json: whether records are JSON; else CSV.
        select_input: what of a record the model gets; None for all of it.
        join: whether the answer is joined to its record.
        select_output: what of the (joined) answer is stored; None for all of it.
    """

    split: str
    many: bool
    payload_bytes: int
    assemble_lines: bool
    is_json: bool
    select_input: Callable[[object], object] | None
    join: bool
    select_output: Callable[[object], object] | None

    @property
    def by_line(self) -> bool:
        """Whether records are lines."""
        return self.split == "Line"

    @property
    def processes(self) -> bool:
        """Whether answers are looked into, record by record."""
        return self.join or self.select_output is not None

    def payloads(self, file: BinaryIO) -> Iterator[list[bytes]]:
        """The records of each payload that an object is sent in; one record where not split.

        Raises:
            JobFailed: a record is larger than a payload may be.
        """
        if self.split == "None":
            yield [self._checked(file.read(self.payload_bytes + 1))]
            return
        records: list[bytes] = []
        size = 0
        end = 1 if self.by_line else 0
        for record in self._lines(file) if self.by_line else self._frames(file):
            if records and (not self.many or size + len(record) + end > self.payload_bytes):
                yield records
                records, size = [], 0
            records.append(record)
            size += len(record) + end
        if records:
            yield records

    def body(self, records: list[bytes]) -> bytes:
        """What the model gets for `records`."""
        if self.select_input is not None:
            records = [self._dump(self.select_input(self._parse(record))) for record in records]
        return b"".join(record + b"\n" for record in records) if self.by_line else b"".join(records)

    def result(self, records: list[bytes], answer: bytes) -> bytes:
        """What is stored for `records` to which the model has answered.

        Raises:
            JobFailed: the answer has not one part for each record, or is not of the right form.
        """
        if self.processes:
            answers = answer.splitlines() if self.by_line else [answer]
            answers = [part for part in answers if part.strip()]
            if len(answers) != len(records):
                msg = (
                    f"ClientError: The model answered {len(answers)} records to {len(records)}; "
                    "to join or filter there must be one line for each"
                )
                raise JobFailed(msg)
            parts = zip(records, answers, strict=True)
            answer = b"\n".join(self._joined(record, part) for record, part in parts)
        if self.assemble_lines and answer and not answer.endswith(b"\n"):
            answer += b"\n"
        return answer

    def _lines(self, file: BinaryIO) -> Iterator[bytes]:
        while line := self._checked(file.readline(self.payload_bytes + 1)):
            record = line.rstrip(b"\r\n")
            if record.strip():
                yield record

    def _frames(self, file: BinaryIO) -> Iterator[bytes]:
        """Binary records. Source for where they stay wrapped: TransformInput's SplitType (AWS)."""
        for frame in FORMATS[self.split](file, self.payload_bytes):
            yield frame.wrapped if self.many else frame.content

    def _joined(self, record: bytes, answer: bytes) -> bytes:
        value = self._parse(answer)
        if self.join:
            value = _join(self._parse(record), value, is_json=self.is_json)
        if self.select_output is not None:
            value = self.select_output(value)
        return self._dump(value)

    def _checked(self, data: bytes) -> bytes:
        if len(data) > self.payload_bytes:
            msg = (
                "ClientError: A record is larger than MaxPayloadInMB "
                f"({self.payload_bytes >> 20}) allows"
            )
            raise JobFailed(msg)
        return data

    def _parse(self, record: bytes) -> object:
        try:
            content = record.decode()
            if self.is_json:
                return json.loads(content)
            rows = list(csv.reader([content]))
        except (ValueError, csv.Error) as error:
            kind = "JSON" if self.is_json else "CSV"
            msg = f"ClientError: A record is not {kind}: {error}"
            raise JobFailed(msg) from error
        return rows[0] if rows else []

    def _dump(self, value: object) -> bytes:
        if self.is_json:
            return json.dumps(value).encode()
        line = io.StringIO()
        row = cast("list[object]", value) if isinstance(value, list) else [value]
        csv.writer(line, lineterminator="").writerow(row)
        return line.getvalue().encode()


def batching(request: Document) -> Batching:
    """How the transform job of `request` handles records.

    Raises:
        JobFailed: it asks for a format or filter that is not offered here.
    """
    source = section(request, "TransformInput")
    target = section(request, "TransformOutput")
    processing = section(request, "DataProcessing")
    split = text(source, "SplitType", "None")
    media_type = text(source, "ContentType", "text/csv").partition(";")[0].strip().lower()
    filters = [_filter(processing, name) for name in ("InputFilter", "OutputFilter")]
    result = Batching(
        split=split,
        many=text(request, "BatchStrategy", "MultiRecord") == "MultiRecord",
        payload_bytes=(whole(request, "MaxPayloadInMB", 6) or 100) << 20,
        assemble_lines=text(target, "AssembleWith", "None") == "Line",
        is_json=media_type in _JSON_TYPES,
        select_input=filters[0],
        join=text(processing, "JoinSource", "None") == "Input",
        select_output=filters[1],
    )
    looks_inside = result.processes or result.select_input is not None
    is_binary = split in FORMATS
    if looks_inside and (is_binary or (not result.is_json and media_type != "text/csv")):
        given = f"SplitType {split}" if is_binary else media_type
        msg = f"ClientError: DataProcessing needs CSV or JSON, not {given}"
        raise JobFailed(msg)
    return result


def _filter(processing: Document, name: str) -> Callable[[object], object] | None:
    path = text(processing, name, "$")
    return None if path == "$" else compile_path(path)


def _join(record: object, answer: object, *, is_json: bool) -> object:
    """Source: "Associate Prediction Results with their Corresponding Input Records" (AWS)."""
    if is_json:
        known = cast("object", record) if isinstance(record, dict) else {"SageMakerInput": record}
        return {**cast("dict[str, object]", known), "SageMakerOutput": answer}
    return [*cast("list[object]", record), *cast("list[object]", answer)]
