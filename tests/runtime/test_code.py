"""The user's code: tarballs and directories, unpacked safely, first on the path."""

from __future__ import annotations

import io
import tarfile
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Container

FLOW = b"def step() -> str:\n    import helper\n    return helper.NAME\n"
AT = "/opt/ml/input/data/cdao/"


def member(name: str, **attributes: object) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    for key, value in attributes.items():
        setattr(info, key, value)
    return info


def archive(path: Path, members: list[tuple[tarfile.TarInfo, bytes]], mode: str = "w:gz") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, mode) as tar:  # type: ignore[call-overload]
        for info, content in members:
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))


@pytest.mark.parametrize("suffix", ["code.tar.gz", "code.tgz", "code.tar"])
def test_tarballs_of_every_kind(library_container: Container, suffix: str) -> None:
    mode = "w" if suffix.endswith(".tar") else "w:gz"
    path = library_container.channels / "code" / suffix
    archive(path, [(member("./flow.py"), FLOW), (member("helper.py"), b"NAME = 'x'")], mode)
    for code in (f"/opt/ml/input/data/code/{suffix}", "/opt/ml/input/data/code"):
        assert library_container.run({}, code=[code]).value == "x"


def test_directories_and_several_places(container: Container) -> None:
    container.write("input/data/code/flow.py", FLOW)
    container.write("input/data/code/data.tar.gz", b"not code")
    container.write("input/data/more/helper.py", b"NAME = 'more'")
    places = ["/opt/ml/input/data/code", "/opt/ml/input/data/more"]
    assert container.run({}, code=places).value == "more"


def test_code_comes_before_the_image_and_is_the_working_directory(container: Container) -> None:
    done = container.run(
        {
            "flow.py": """
            import colorsys, os, runner
            def step() -> list:
                with open("config/settings.txt") as file:
                    return [colorsys.NAME, runner.NAME, file.read(), os.path.exists("out.txt")]
        """,
            "colorsys.py": "NAME = 'mine'\n",
            "runner.py": "NAME = 'also mine'\n",
            "config/settings.txt": "here",
        }
    )
    assert done.value == ["mine", "also mine", "here", False]
    assert not list((container.root / "tmp").iterdir())


@pytest.mark.parametrize(
    "bad",
    [
        [member("../evil.py")],
        [member("/tmp/evil.py")],
        [member("a/../../evil.py")],
        [member("dev", type=tarfile.CHRTYPE)],
        [member("pipe", type=tarfile.FIFOTYPE)],
    ],
    ids=lambda members: members[0].name,
)
def test_entries_that_leave_the_directory_are_refused(
    container: Container, bad: list[tarfile.TarInfo]
) -> None:
    container.lay_out({})
    archive(container.channels / "cdao" / "bad.tar.gz", [(info, b"") for info in bad])
    done = container.run({}, code=[AT + "bad.tar.gz"])
    assert done.failure.startswith("[cdao:USER] UserError: the job's code holds an unsafe entry")
    assert not list(container.root.rglob("evil.py"))


def test_links_cannot_lead_out(container: Container) -> None:
    outside = container.write("outside/secret.py", "SECRET = 1")
    symlink, hardlink = tarfile.SYMTYPE, tarfile.LNKTYPE
    members = [
        (member("flow.py"), FLOW),
        (member("real.py"), b"NAME = 'linked'"),
        (member("helper.py", type=symlink, linkname="real.py"), b""),
        (member("hard.py", type=hardlink, linkname="real.py"), b""),
        (member("secret.py", type=symlink, linkname=str(outside)), b""),
        (member("up", type=symlink, linkname="../../outside"), b""),
        (member("here", type=symlink, linkname="."), b""),
        (member("nothing.py", type=hardlink, linkname="/etc/passwd"), b""),
    ]
    container.lay_out({})
    archive(container.channels / "cdao" / "links.tar.gz", members)
    done = container.run({}, code=[AT + "links.tar.gz"])
    assert done.value == "linked"
    for name in ("secret.py", "up"):
        assert f"{name!r} of the job's code links out of it; left out" in done.stderr
    assert "'nothing.py' of the job's code is a link to nothing" in done.stderr


def test_nothing_is_written_through_a_link(container: Container) -> None:
    """A link that leads nowhere yet, and out of the directory once its goal is there."""
    symlink = tarfile.SYMTYPE
    members = [
        (member("out", type=symlink, linkname="later/.."), b""),
        (member("later", type=symlink, linkname="."), b""),
        (member("out/evil.py"), b"EVIL"),
    ]
    container.lay_out({})
    archive(container.channels / "cdao" / "links.tar.gz", members)
    done = container.run({}, code=[AT + "links.tar.gz"])
    assert "unsafe entry: 'out/evil.py'" in done.failure
    assert not list(container.root.rglob("evil.py"))


@pytest.mark.parametrize("content", [b"not an archive", b"\x1f\x8b\x08broken", b""])
def test_broken_archives_are_the_platforms_fault(
    library_container: Container, content: bytes
) -> None:
    library_container.write("input/data/cdao/bad.tar.gz", content)
    failure = library_container.run({}, code=[AT + "bad.tar.gz"]).failure
    assert failure.startswith("[cdao:SYSTEM] PlatformError: the job's code cannot be unpacked")


def test_missing_code_is_the_platforms_fault(library_container: Container) -> None:
    failure = library_container.run({}, code=[AT + "gone.tar.gz"]).failure
    assert failure.startswith("[cdao:SYSTEM] PlatformError: the job's code is not there")


def test_the_spec_is_found_by_argument_and_where_a_toolkit_copied_the_runner(
    library_container: Container,
) -> None:
    import shutil
    import subprocess

    python, runner = library_container.lay_out({"flow.py": "def step(): return 5"})
    elsewhere = shutil.copy(runner, library_container.write("code/x", "").parent)
    spec = library_container.channels / "cdao-job" / "spec.json"
    other = library_container.write("other/place.json", spec.read_bytes())
    for command in (
        [python, elsewhere, "--max_depth", "6", "--spec"],
        [python, elsewhere, "--spec", str(other), "--eta", "0.3"],
    ):
        environment = library_container.environment
        subprocess.run(command, env=environment, check=True, capture_output=True)
        (library_container.result_dir / "outputs.json").unlink()
