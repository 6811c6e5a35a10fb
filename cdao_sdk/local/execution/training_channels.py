"""The input channels of a training job, as its request describes them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cdao_sdk.local.execution import augmented
from cdao_sdk.local.execution.channels import DataSource, download, in_order, select
from cdao_sdk.local.execution.context import JobFailed
from cdao_sdk.local.execution.pipes import PipeChannel
from cdao_sdk.local.execution.request import section, sections, text, texts

if TYPE_CHECKING:
    import contextlib
    from collections.abc import Mapping, Sequence

    from cdao_sdk.local.execution.context import Context
    from cdao_sdk.local.execution.hosts import Host
    from cdao_sdk.local.execution.pipes import Piece
    from cdao_sdk.local.execution.request import Document


@dataclass(frozen=True)
class Channel:
    """One channel.

    Attributes:
        name: its name.
        source: which objects it means.
        groups: the instance groups that get it; none means all.
        is_piped: whether it is a named pipe rather than files.
        as_records: whether a pipe wraps each object as a record of RecordIO.
        description: its entry in `inputdataconfig.json`.
    """

    name: str
    source: DataSource
    groups: list[str]
    is_piped: bool
    as_records: bool
    description: Mapping[str, str]

    def deliver(
        self, context: Context, host: Host, receivers: list[str], pipes: contextlib.ExitStack
    ) -> None:
        """Bring it to one host, if it is among the `receivers`; what feeds pipes ends with `pipes`.

        Raises:
            JobFailed: an object is missing or cannot be a file, or there are none.
            JobStopped: the job was stopped meanwhile.
        """
        if host.name not in receivers:
            return
        number = receivers.index(host.name)
        target = host.opt_ml.root / "input" / "data" / self.name
        if not self.is_piped:
            download(context, self.source, target, host=number, hosts=len(receivers))
            return
        entries = self._entries(context)

        def pieces(epoch: int) -> list[Piece]:
            own = in_order(entries, self.source, epoch, host=number, hosts=len(receivers))
            return [piece for entry in own for piece in entry]

        pipe = PipeChannel(
            context.objects,
            pieces,
            target,
            gunzip=self.source.gunzip,
            as_records=self.as_records,
            note=host.console.note,
        )
        pipes.callback(pipe.close)

    def _entries(self, context: Context) -> Sequence[Sequence[Piece]]:
        """What is shuffled and shared out: objects, or lines of an augmented manifest."""
        if self.source.kind == augmented.KIND:
            lines = augmented.manifest_lines
            return lines(context.objects, self.source.uri, self.source.attributes)
        return [[item] for item in select(context.objects, self.source)]


def training_channels(request: Document, *, reads_files: bool) -> list[Channel]:
    """The channels of a CreateTrainingJob request.

    Args:
        request: the request.
        reads_files: whether the job's program reads files even where Pipe mode is asked for.

    Raises:
        JobFailed: one has another source than S3.
    """
    default = text(section(request, "AlgorithmSpecification"), "TrainingInputMode", "File")
    return [
        _channel(document, default, reads_files=reads_files)
        for document in sections(request, "InputDataConfig")
    ]


def _channel(document: Document, default_mode: str, *, reads_files: bool) -> Channel:
    name = text(document, "ChannelName")
    source = section(section(document, "DataSource"), "S3DataSource")
    if not source:
        msg = (
            f"ClientError: Channel {name!r} has no S3DataSource; the embedded SageMaker reads "
            "channels from S3 only"
        )
        raise JobFailed(msg)
    is_piped = not reads_files and text(document, "InputMode", default_mode) == "Pipe"
    wrapper = text(document, "RecordWrapperType", "None")
    seed = section(document, "ShuffleConfig").get("Seed")
    distribution = text(source, "S3DataDistributionType", "FullyReplicated")
    description = {
        "ContentType": text(document, "ContentType"),
        "TrainingInputMode": "Pipe" if is_piped else "File",
        "S3DistributionType": distribution,
        "RecordWrapperType": wrapper,
    }
    return Channel(
        name=name,
        source=DataSource(
            kind=text(source, "S3DataType", "S3Prefix"),
            uri=text(source, "S3Uri"),
            sharded=distribution == "ShardedByS3Key",
            gunzip=text(document, "CompressionType") == "Gzip",
            seed=seed if isinstance(seed, int) else None,
            attributes=texts(source, "AttributeNames"),
        ),
        groups=texts(source, "InstanceGroupNames"),
        is_piped=is_piped,
        as_records=wrapper == "RecordIO",
        description={key: value for key, value in description.items() if value},
    )
