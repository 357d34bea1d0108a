"""The paths of a folder's objects. Only regular files are objects, and links inside the folder are not followed.

The folder itself may be a link.
"""

from __future__ import annotations

import logging
import os
import secrets
import stat
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from bqdump.core.documents.path_template import NameRules
from bqdump.core.errors import TargetError, UsageError
from bqdump.core.plan.names import refused_by_windows
from bqdump.core.progress.log_events import LogEvent

log = logging.getLogger(__name__)

# Files whose names start with this are not objects: the index and temporary files.
OWN = ".bqdump-"
WINDOWS = os.name == "nt"
MOVE = "Move its target here, or set {setting:to} to the real folder."
COMPOSED, DECOMPOSED = "\u00e9", "e\u0301"
# https://learn.microsoft.com/en-us/windows/win32/fileio/naming-a-file
USUAL_PART = 255
# https://learn.microsoft.com/en-us/openspecs/windows_protocols/ms-fscc/c8e77b37-3909-4fe6-a4ea-2b9d423b1ee4
JUNCTION = 0xA0000003


def path_of(root: Path, name: str, *, windows: bool = WINDOWS) -> Path:
    """The file of an object. Raises UsageError for a name that leads out of the folder or is reserved."""
    return root.joinpath(*_parts(name, windows=windows))


def _parts(name: str, *, windows: bool = WINDOWS) -> list[str]:
    """The parts of an object's path. Raises UsageError like `path_of`."""
    parts = name.rstrip("/").split("/")
    if name.startswith("/") or any(part in ("", ".", "..") for part in parts) or "\0" in name:
        raise UsageError("write", f"file {name!r}", "the name leads out of the folder")
    # A backslash or a colon would lead out of the folder, too.
    if windows and (problem := refused_by_windows(name)):
        raise UsageError("write", f"file {name!r}", f"it cannot exist on Windows: {problem}")
    if any(part.startswith(OWN) for part in parts):
        raise UsageError("write", f"file {name!r}", f"names that start with {OWN} are reserved for temporary files")
    return parts


def status_of(root: Path, name: str) -> os.stat_result | None:
    """The status of an object's file; None if there is none.

    Raises TargetError if the path leads through a link, or to neither a file nor a folder.
    """
    status = folder_status(root, _parts(name))
    if status is None or stat.S_ISDIR(status.st_mode):
        return None
    if not stat.S_ISREG(status.st_mode):
        raise TargetError("use", str(path_of(root, name)), "not a regular file", "Remove it, or use another folder.")
    return status


def folder_status(root: Path, parts: Sequence[str]) -> os.stat_result | None:
    """The status of a path below the folder; None if nothing is there. Raises TargetError for a link."""
    place, status = str(root), None
    for part in parts:
        place = os.path.join(place, part)  # noqa: PTH118 (half the time of a Path, at each step of each file)
        try:
            status = os.lstat(place)
        except (FileNotFoundError, NotADirectoryError):
            return None
        if is_link(status):
            raise TargetError(
                "use", place, "it is a symbolic link, and links inside a target folder are not followed", MOVE
            )
    return status


def is_link(status: os.stat_result) -> bool:
    """Whether this is a symbolic link, or a junction on Windows."""
    return stat.S_ISLNK(status.st_mode) or getattr(status, "st_reparse_tag", 0) == JUNCTION


def refuse_other_spelling(root: Path, name: str, rules: NameRules) -> None:
    """Raise TargetError if a file exists whose name differs, but not to the file system."""
    if not (rules.ignores_case or rules.ignores_form):
        return
    place = root
    for part in _parts(name):
        try:
            names = [path.name for path in place.iterdir()]
        except (FileNotFoundError, NotADirectoryError):
            return
        like = rules.alike(part)
        if part not in names and (
            other := next((other_name for other_name in names if rules.alike(other_name) == like), None)
        ):
            cause = f"{other} exists, and the file system does not distinguish the two names"
            raise TargetError("use", str(place / part), cause, "Rename one of them, or use another folder.")
        place /= part


def names_below(root: Path, prefix: str) -> Iterator[str]:
    """The names of all objects that start with this, in any order. Links are skipped with a warning."""
    folder = prefix.rpartition("/")[0]
    if folder and folder_status(root, _parts(folder)) is None:
        return
    waiting = [f"{folder}/" if folder else ""]
    while waiting:
        above = waiting.pop()
        try:
            entries = os.scandir(root / above)
        except (FileNotFoundError, NotADirectoryError):
            continue
        with entries:
            for entry in entries:
                name = f"{above}{entry.name}"
                if entry.name.startswith(OWN) or not _overlap(name, prefix) or not _is_text(name):
                    continue
                if entry.is_dir(follow_symlinks=False) and not is_link(entry.stat(follow_symlinks=False)):
                    waiting.append(f"{name}/")
                elif entry.is_file(follow_symlinks=False):
                    yield name
                elif entry.is_symlink():
                    log.warning("skipped symbolic link %s", root / name, extra=LogEvent.LINK_SKIPPED.extra())


def _overlap(name: str, prefix: str) -> bool:
    return name.startswith(prefix) or prefix.startswith(f"{name}/")


def _is_text(name: str) -> bool:
    """Whether a name is valid UTF-8, as all object names are."""
    return not any("\ud800" <= character <= "\udfff" for character in name)


def folders_below(root: Path, prefix: str) -> list[str]:
    """The names of the folders directly below the prefix, sorted, without links."""
    folder = path_of(root, prefix) if prefix else root
    status = folder_status(root, _parts(prefix)) if prefix else None
    if prefix and (status is None or not stat.S_ISDIR(status.st_mode)):
        return []
    try:
        with os.scandir(folder) as entries:
            return sorted(entry.name for entry in entries if entry.is_dir(follow_symlinks=False))
    except (FileNotFoundError, NotADirectoryError):
        return []


def name_rules(folder: Path, exists: Callable[[Path], bool] = os.path.lexists) -> NameRules:
    """The file system's rules for names in this folder, detected with a temporary file.

    A folder that does not exist yet has the rules of the nearest existing parent. exists: whether a path exists.
    """
    parent = folder
    while not parent.is_dir():
        parent = parent.parent
    part, path, utf16 = _limits(parent)
    room = max(1, path - len(os.fsencode(folder)) - 1) if path else 0
    mark = f"{OWN}probe-{secrets.token_hex(8)}"
    probe = parent / f"{mark}-a{COMPOSED}"
    try:
        probe.touch(exist_ok=False)
    except OSError:
        # Writing there fails, too, and that is reported by the operation that writes.
        return NameRules(part_bytes=part, path_bytes=room, utf16=utf16, windows=WINDOWS)
    try:
        return NameRules(
            ignores_case=exists(parent / f"{mark}-A{COMPOSED}"),
            ignores_form=exists(parent / f"{mark}-a{DECOMPOSED}"),
            part_bytes=part,
            path_bytes=room,
            utf16=utf16,
            windows=WINDOWS,
        )
    finally:
        probe.unlink(missing_ok=True)


def _limits(folder: Path) -> tuple[int, int, bool]:
    """The maximum lengths of a name and of a path (0: no maximum), and whether they count UTF-16 units."""
    if not hasattr(os, "pathconf"):
        return USUAL_PART, 0, True
    try:
        # The terminating NUL counts, too.
        return os.pathconf(folder, "PC_NAME_MAX"), os.pathconf(folder, "PC_PATH_MAX") - 1, False
    except (OSError, ValueError):
        return USUAL_PART, 0, False


def remove_empty(root: Path, folder: Path) -> None:
    """Remove this folder and those above it, up to the root, which stays, as long as they are empty."""
    while folder != root and not any(folder.iterdir()):
        folder.rmdir()
        folder = folder.parent
