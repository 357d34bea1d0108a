"""The files of objects."""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
import stat
import unicodedata
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import google_crc32c

from bqdump_local.held import hold

if TYPE_CHECKING:
    from io import FileIO

_PIECE: Final = 1 << 20
HIDDEN: Final = ".bqdump-local"
# Characters with a special meaning in Windows paths.
_RESERVED: Final = frozenset('\\:*?"<>|\0' if os.name == "nt" else "\0")


@dataclass(frozen=True, slots=True)
class Content:
    """Complete bytes with checksums, in a temporary file that is not an object yet. changed: the file's time."""

    path: str
    size: int
    crc32c: str
    md5: str | None
    changed: int = 0

    def discard(self) -> None:
        """Remove the file, unless it has become an object."""
        Path(self.path).unlink(missing_ok=True)


class Spool:
    """Writes bytes to a temporary file, and computes their checksums."""

    def __init__(self, path: str) -> None:
        self._path = path
        # Closed by finish() or discard().
        self._file: FileIO = Path(path).open("wb", buffering=0)  # noqa: SIM115
        self._crc32c = 0
        self._md5 = hashlib.md5(usedforsecurity=False)
        self.size = 0

    def write(self, data: bytes) -> None:
        """Append."""
        view = memoryview(data)
        try:
            while view:
                view = view[self._file.write(view) :]
        except OSError:
            # Without what was written before the disk was full, the next bytes continue where they should.
            self._file.seek(self.size)
            self._file.truncate()
            raise
        self._crc32c = google_crc32c.extend(self._crc32c, data)
        self._md5.update(data)
        self.size += len(data)

    def finish(self, *, with_md5: bool = True) -> Content:
        """Close the file and return its content."""
        changed = os.fstat(self._file.fileno()).st_mtime_ns
        self._file.close()
        md5 = base64.b64encode(self._md5.digest()).decode() if with_md5 else None
        crc32c = base64.b64encode(self._crc32c.to_bytes(4, "big")).decode()
        return Content(self._path, self.size, crc32c, md5, changed)

    def discard(self) -> None:
        """Remove the file. Does nothing after the file was placed."""
        self._file.close()
        Path(self._path).unlink(missing_ok=True)


class State(NamedTuple):
    """A file's size and modification time, in nanoseconds since 1970."""

    size: int
    changed: int


class Files:
    """Objects as files at `<root>/<bucket>/<name>`.

    Objects whose names the file system does not support, that lead out of the root, or whose path is used by another
    object (`a` next to `a/b`) are stored in a hidden folder, under a digest of the name.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.hidden = root / HIDDEN
        self._objects = self.hidden / "objects"
        self._temporary = self.hidden / "tmp"
        self._numbers = count()
        self.hidden.mkdir(parents=True, exist_ok=True)
        self._held = hold(self.hidden)
        # Incomplete files of an earlier server.
        shutil.rmtree(self._temporary, ignore_errors=True)
        self._temporary.mkdir(parents=True)
        self._objects.mkdir(exist_ok=True)
        self._taken: dict[str, str] | None = {} if self._ignores_case() else None

    def close(self) -> None:
        """Leave the folder to the next server."""
        self._held.close()

    def spool(self) -> Spool:
        """A new temporary file to write to."""
        return Spool(self._new_path())

    def duplicate(self, place: str, size: int, crc32c: str, md5: str | None) -> Content:
        """The bytes of an object a second time, by a link to the file if possible."""
        path, source = self._new_path(), self.root / place
        try:
            os.link(source, path)
        except OSError:
            shutil.copyfile(source, path)
        return Content(path, size, crc32c, md5, Path(path).stat().st_mtime_ns)

    def open(self, place: str) -> FileIO:
        """An object's bytes, which stay readable if the object is replaced or deleted meanwhile."""
        return (self.root / place).open("rb", buffering=0)

    def place(self, content: Content, bucket: str, name: str) -> str:
        """Move complete bytes to the object's file, atomically. Returns its path, which the record keeps."""
        place = f"{bucket}/{name}"
        if self._may_show(name) and self._claim(place):
            try:
                self._move(content.path, self.root / place)
            except OSError:
                self._release(place)
            else:
                return place
        place = self._hidden_place(place)
        self._move(content.path, self.root / place)
        return place

    def placed(self, bucket: str, name: str, state: State) -> str | None:
        """The path at which `place` has put an object with this state; None if it has not."""
        places = (f"{bucket}/{name}", self._hidden_place(f"{bucket}/{name}"))
        return next((place for place in places if self.state(place) == state), None)

    def archive(self, place: str, identity: str) -> str:
        """Give the file of an object a second place, in the hidden folder, under a digest of this identity."""
        kept = f"{HIDDEN}/objects/{hashlib.sha256(identity.encode()).hexdigest()}"
        target = self.root / kept
        target.unlink(missing_ok=True)
        try:
            os.link(self.root / place, target)
        except OSError:
            shutil.copyfile(self.root / place, target)
        return kept

    def adopt(self, place: str) -> bool:
        """Use a file that was added by hand; False if it is not a file, or belongs to another object."""
        return self.state(place) is not None and self._claim(place)

    def release(self, place: str) -> None:
        """Forget a file that was removed."""
        self._release(place)

    def state(self, place: str) -> State | None:
        """A file's size and modification time; None if there is no file. Links do not count."""
        try:
            status = os.lstat(f"{self.root}/{place}")
        except OSError:
            return None
        return State(status.st_size, status.st_mtime_ns) if stat.S_ISREG(status.st_mode) else None

    def checksums(self, place: str) -> tuple[str, str]:
        """CRC32C and MD5 of a file as it is now."""
        crc32c, md5 = 0, hashlib.md5(usedforsecurity=False)
        with self.open(place) as file:
            while piece := file.read(_PIECE):
                crc32c = google_crc32c.extend(crc32c, piece)
                md5.update(piece)
        return base64.b64encode(crc32c.to_bytes(4, "big")).decode(), base64.b64encode(md5.digest()).decode()

    def shown(self, bucket: str, prefix: str) -> dict[str, State]:
        """The visible files below a bucket's folder whose names start with this, which people may change.

        Files whose names start with a dot are excluded, such as those of file managers.
        """
        states: dict[str, State] = {}
        waiting = [prefix.rpartition("/")[0]]
        if waiting[0] and not self._may_show(waiting[0]):
            return states
        while waiting:
            folder = waiting.pop()
            try:
                entries = os.scandir(f"{self.root}/{bucket}/{folder}")
            except OSError:
                continue
            with entries:
                for entry in entries:
                    name = f"{folder}/{entry.name}" if folder else entry.name
                    if entry.name.startswith(".") or not (name.startswith(prefix) or prefix.startswith(f"{name}/")):
                        continue
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(name)
                    elif entry.is_file(follow_symlinks=False) and name.isprintable():
                        status = entry.stat(follow_symlinks=False)
                        states[name] = State(status.st_size, status.st_mtime_ns)
        return states

    def may_be_shown(self, name: str) -> bool:
        """Whether `shown` can return a file of this name."""
        return self._may_show(name) and not any(part.startswith(".") for part in name.split("/"))

    def remove(self, place: str) -> None:
        """Delete a file, and the folders that it leaves empty."""
        path = self.root / place
        path.unlink(missing_ok=True)
        self._release(place)
        for folder in list(path.relative_to(self.root).parents)[:-2]:
            try:
                (self.root / folder).rmdir()
            except OSError:
                return

    def add_bucket(self, bucket: str) -> None:
        """Create the folder of a bucket."""
        (self.root / bucket).mkdir(exist_ok=True)

    def remove_bucket(self, bucket: str) -> None:
        """Remove the folder of a bucket, unless it contains other files."""
        try:
            (self.root / bucket).rmdir()
        except OSError:
            return

    @staticmethod
    def _hidden_place(place: str) -> str:
        return f"{HIDDEN}/objects/{hashlib.sha256(place.encode()).hexdigest()}"

    def _new_path(self) -> str:
        return f"{self._temporary}/{next(self._numbers)}"

    @staticmethod
    def _move(path: str, target: Path) -> None:
        try:
            Path(path).replace(target)
        except FileNotFoundError:
            target.parent.mkdir(parents=True, exist_ok=True)
            Path(path).replace(target)
        # Renaming a link to another link of the same file does nothing, and leaves the first link.
        Path(path).unlink(missing_ok=True)

    @staticmethod
    def _may_show(name: str) -> bool:
        return _RESERVED.isdisjoint(name) and not any(part in {"", ".", ".."} for part in name.split("/"))

    def _ignores_case(self) -> bool:
        probe = self._temporary / "probe"
        probe.touch()
        try:
            return (self._temporary / "PROBE").exists()
        finally:
            probe.unlink()

    def _claim(self, place: str) -> bool:
        """Whether the path is free for this object on a file system that does not distinguish `A` from `a`."""
        return self._taken is None or self._taken.setdefault(_folded(place), place) == place

    def _release(self, place: str) -> None:
        if self._taken is not None and self._taken.get(_folded(place)) == place:
            del self._taken[_folded(place)]


def _folded(place: str) -> str:
    return unicodedata.normalize("NFC", place).casefold()
