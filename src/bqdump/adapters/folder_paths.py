"""The paths of a folder's objects. Below the folder no link is followed, and only regular files are objects.

The folder itself may be a link: that is its user's choice.
"""

from __future__ import annotations

import logging
import os
import secrets
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

from bqdump.core.errors import TargetError, UsageError
from bqdump.core.plan.file_names import NameRules
from bqdump.core.progress.log_events import LogEvent

log = logging.getLogger(__name__)

# Names that begin with this are no objects: the index, and files that are being written.
OWN = ".bqdump-"
MOVE = "Move what it points to here, or name its real folder with --to."
COMPOSED, DECOMPOSED = "\u00e9", "e\u0301"
# https://learn.microsoft.com/en-us/windows/win32/fileio/naming-a-file
USUAL_PART = 255
# https://learn.microsoft.com/en-us/openspecs/windows_protocols/ms-fscc/c8e77b37-3909-4fe6-a4ea-2b9d423b1ee4
JUNCTION = 0xA0000003


def path_of(root: Path, name: str) -> Path:
    """The file of an object. Raises UsageError for a name that would leave the folder, or is kept for the folder."""
    parts = name.rstrip("/").split("/")
    if name.startswith("/") or any(part in ("", ".", "..") for part in parts) or "\0" in name:
        raise UsageError("write", f"file {name!r}", "this name would leave the folder")
    if any(part.startswith(OWN) for part in parts):
        raise UsageError("write", f"file {name!r}", f"names that begin with {OWN} are kept for temporary files")
    return root.joinpath(*parts)


def status_of(root: Path, name: str) -> os.stat_result | None:
    """The status of an object's file, None when there is none.

    Raises TargetError where a link is on the way, or what is there is neither a file nor a folder.
    """
    path = path_of(root, name)
    status = folder_status(root, path.relative_to(root).parts)
    if status is None or stat.S_ISDIR(status.st_mode):
        return None
    if not stat.S_ISREG(status.st_mode):
        raise TargetError("use", str(path), "it is not a regular file", "Remove it, or use another folder.")
    return status


def folder_status(root: Path, parts: tuple[str, ...]) -> os.stat_result | None:
    """The status of what is at a path below the folder, None when there is nothing. Raises TargetError for a link."""
    place, status = str(root), None
    for part in parts:
        place = os.path.join(place, part)  # noqa: PTH118 (half the time of a Path, at each step of each file)
        try:
            status = os.lstat(place)
        except (FileNotFoundError, NotADirectoryError):
            return None
        if is_link(status):
            raise TargetError("use", place, "it is a symbolic link, and links inside a target are not followed", MOVE)
    return status


def is_link(status: os.stat_result) -> bool:
    """Whether this is a symbolic link, or what Windows has in their place."""
    return stat.S_ISLNK(status.st_mode) or getattr(status, "st_reparse_tag", 0) == JUNCTION


def refuse_other_spelling(root: Path, name: str, rules: NameRules) -> None:
    """Raise TargetError where what is there has another name, which the file system takes for this one."""
    if not (rules.ignores_case or rules.ignores_form):
        return
    place = root
    for part in path_of(root, name).relative_to(root).parts:
        try:
            names = [path.name for path in place.iterdir()]
        except (FileNotFoundError, NotADirectoryError):
            return
        like = rules.alike(part)
        if part not in names and (other := next((one for one in names if rules.alike(one) == like), None)):
            cause = f"the folder has {other} already, and its file system takes both for the same name"
            raise TargetError("use", str(place / part), cause, "Rename one of them, or use another folder.")
        place /= part


def names_below(root: Path, prefix: str) -> Iterator[str]:
    """The names of all objects that start with this, in any order. Links are left out with a warning."""
    folder = prefix.rpartition("/")[0]
    if folder and folder_status(root, path_of(root, folder).relative_to(root).parts) is None:
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
                    log.warning("%s is a symbolic link: not followed", root / name, extra=LogEvent.LINK_SKIPPED.extra())


def _overlap(name: str, prefix: str) -> bool:
    return name.startswith(prefix) or prefix.startswith(f"{name}/")


def _is_text(name: str) -> bool:
    """Whether a name is UTF-8, as the names of all objects are."""
    return not any("\ud800" <= character <= "\udfff" for character in name)


def folders_below(root: Path, prefix: str) -> list[str]:
    """The names of the folders right below the prefix, by name; links are none."""
    folder = path_of(root, prefix) if prefix else root
    status = folder_status(root, folder.relative_to(root).parts) if prefix else None
    if prefix and (status is None or not stat.S_ISDIR(status.st_mode)):
        return []
    try:
        with os.scandir(folder) as entries:
            return sorted(entry.name for entry in entries if entry.is_dir(follow_symlinks=False))
    except (FileNotFoundError, NotADirectoryError):
        return []


def name_rules(folder: Path, exists: Callable[[Path], bool] = os.path.lexists) -> NameRules:
    """How the file system of this folder treats names, found out with a file that is made there and removed.

    A folder that does not exist yet is judged by the nearest one above it. `exists`: whether a path leads to a file.
    """
    there = folder
    while not there.is_dir():
        there = there.parent
    part, path, utf16 = _limits(there)
    room = max(1, path - len(os.fsencode(folder)) - 1) if path else 0
    mark = f"{OWN}probe-{secrets.token_hex(8)}"
    probe = there / f"{mark}-a{COMPOSED}"
    try:
        probe.touch(exist_ok=False)
    except OSError:
        # Writing there fails as well, and that is reported by what needs it.
        return NameRules(part_bytes=part, path_bytes=room, utf16=utf16)
    try:
        return NameRules(
            ignores_case=exists(there / f"{mark}-A{COMPOSED}"),
            ignores_form=exists(there / f"{mark}-a{DECOMPOSED}"),
            part_bytes=part,
            path_bytes=room,
            utf16=utf16,
        )
    finally:
        probe.unlink(missing_ok=True)


def _limits(folder: Path) -> tuple[int, int, bool]:
    """How long a name and a path may be, and whether that is in UTF-16 units; a path of any length is 0."""
    if not hasattr(os, "pathconf"):
        return USUAL_PART, 0, True
    try:
        # A path's end counts as well.
        return os.pathconf(folder, "PC_NAME_MAX"), os.pathconf(folder, "PC_PATH_MAX") - 1, False
    except (OSError, ValueError):
        return USUAL_PART, 0, False
