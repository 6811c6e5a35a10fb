"""Literal ``/opt/ml`` paths on Linux without a container: mount namespaces, by ctypes.

Standard library only: ``supervisor.py`` loads it in an interpreter without site-packages. The
supervisor calls `enter` once; from then on each job needs one `unshare` and one bind mount
(`bind`), whatever had to be done to make room for ``/opt/ml``. Nothing is created in the real file
system: where ``/opt/ml`` is missing, it exists in the supervisor's namespace alone.
"""

from __future__ import annotations

import ctypes
import os
import stat
import sys
from pathlib import Path

MOUNT_POINT = Path("/opt/ml")

_CLONE_NEWNS = 0x00020000
_CLONE_NEWUSER = 0x10000000
_MS_BIND = 0x1000
_MS_REC = 0x4000
_MS_SLAVE = 0x80000
_MNT_DETACH = 2
_SYS_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}

_libc = ctypes.CDLL(None, use_errno=True)


def enter(mount_point: Path = MOUNT_POINT) -> str | None:
    """Move this process into a mount namespace of its own in which `mount_point` is a directory.

    Tried in a child first, so that a refusal half way leaves this process as it was.

    Returns:
        None if `bind` will work from now on, else why it cannot.
    """
    if not sys.platform.startswith("linux"):
        return f"{sys.platform} has no mount namespaces"
    reason = _rehearse(mount_point)
    if reason is None:
        _enter(mount_point)
    return reason


def bind(directory: Path, mount_point: Path = MOUNT_POINT) -> None:
    """Show `directory` at `mount_point` to this process and its children only.

    Raises:
        OSError: the kernel refused.
    """
    _check(_libc.unshare(_CLONE_NEWNS), "unshare")
    _mount(directory, mount_point, _MS_BIND)


def show_file(file: Path, place: Path) -> None:
    """Show `file` in place of `place` to this process and its children; after `bind` only.

    Raises:
        OSError: there is no such place, or the kernel refused.
    """
    _mount(file, place, _MS_BIND)


def _rehearse(mount_point: Path) -> str | None:
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        reason = "the rehearsal died"
        try:
            here = Path(__file__).parent
            _enter(mount_point)
            bind(here, mount_point)
            same = mount_point.samefile(here)
            reason = "" if same else f"{mount_point} did not change after it was mounted"
        except OSError as error:
            reason = str(error)
        finally:
            os.write(write_end, reason.encode() or b"\0")
            os._exit(0)
    os.close(write_end)
    with os.fdopen(read_end, "rb") as answer:
        reason = answer.read().decode().strip("\0")
    os.waitpid(child, 0)
    return reason or None


def _enter(mount_point: Path) -> None:
    try:
        _check(_libc.unshare(_CLONE_NEWNS), "unshare")
    except PermissionError:
        _enter_user_namespace()
    # Slave, not private: what the host mounts later is seen here, what we mount is not seen there.
    _mount(None, Path("/"), _MS_REC | _MS_SLAVE)
    if mount_point.is_dir():
        return
    existing = next(parent for parent in mount_point.parents if parent.is_dir())
    if existing == Path("/"):
        _replace_root()
    else:
        _replace_directory(existing)
    mount_point.mkdir(parents=True)


def _enter_user_namespace() -> None:
    user, group = os.geteuid(), os.getegid()
    _check(_libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNS), "unshare")
    own = Path("/proc/self")
    (own / "setgroups").write_text("deny", encoding="ascii")
    (own / "uid_map").write_text(f"{user} {user} 1", encoding="ascii")
    (own / "gid_map").write_text(f"{group} {group} 1", encoding="ascii")


def _replace_directory(directory: Path) -> None:
    """Put a tmpfs over `directory` that shows the same entries and can take new ones."""
    behind = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    names = os.listdir(behind)  # noqa: PTH208 - of what the descriptor shows, not the path
    _mount_tmpfs(directory)
    for name in names:
        _show(Path(f"/proc/self/fd/{behind}") / name, directory / name)
    os.close(behind)


def _replace_root() -> None:
    """Make a tmpfs with the same entries the root directory: the real one must stay as it is."""
    machine = os.uname().machine
    if machine not in _SYS_PIVOT_ROOT:
        msg = f"there is no /opt, and how to pivot_root on {machine} is not known"
        raise OSError(msg)
    base = Path("/usr")  # any directory will do to build on: it is seen again at its place below
    behind = os.open(base, os.O_RDONLY | os.O_DIRECTORY)
    names = [entry.name for entry in Path("/").iterdir()]
    _mount_tmpfs(base)
    for name in names:
        if name == base.name:
            (base / name).mkdir()
            _mount(Path(f"/proc/self/fd/{behind}"), base / name, _MS_BIND | _MS_REC)
        else:
            _show(Path("/") / name, base / name)
    os.close(behind)
    os.chdir(base)
    _check(_libc.syscall(_SYS_PIVOT_ROOT[machine], b".", b"."), "pivot_root")
    _check(_libc.umount2(b".", _MNT_DETACH), "umount2")
    os.chdir("/")


def _show(source: Path, target: Path) -> None:
    kind = source.lstat().st_mode
    if stat.S_ISLNK(kind):
        target.symlink_to(source.readlink())
        return
    if stat.S_ISDIR(kind):
        target.mkdir()
    else:
        target.touch()
    _mount(source, target, _MS_BIND | _MS_REC)


def _mount_tmpfs(target: Path) -> None:
    _check(_libc.mount(b"tmpfs", os.fsencode(target), b"tmpfs", 0, b"mode=755"), "mount tmpfs")


def _mount(source: Path | None, target: Path, flags: int) -> None:
    origin = None if source is None else os.fsencode(source)
    _check(_libc.mount(origin, os.fsencode(target), None, flags, None), f"mount on {target}")


def _check(result: int, call: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{call}: {os.strerror(number)}")
