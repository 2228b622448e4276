"""The port to the disk, and its one real implementation. Tests wrap it to fill the disk, tear writes and lose power.

What a spool needs of it: what `sync` returned for is there after a loss of power; what was written since may be there,
in part, in any order of its blocks, or not at all.
"""

import fcntl
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Protocol

from vitrin.kit.spool.errors import SpoolInUse

FILE_MODE: Final = 0o600
FOLDER_MODE: Final = 0o700
_LOCK: Final = "lock"


class AppendFile(Protocol):
    """A file that grows at its end. All may raise OSError; after that the file's end is unknown."""

    def write(self, data: bytes) -> None:
        """All of it, or OSError after any part of it."""

    def sync(self) -> None:
        """Returns when everything that was written is durable."""

    def truncate(self, size: int) -> None: ...

    def close(self) -> None: ...


class SpoolFiles(Protocol):
    """One folder. Only its owner may read it."""

    def lock(self) -> None:
        """Raises SpoolInUse. Held until `close`, or until the process is gone."""

    def names(self) -> Sequence[str]: ...

    def size(self, name: str) -> int: ...

    def modified_at_s(self, name: str) -> float:
        """Seconds since 1970 of the last write."""

    def append_to(self, name: str) -> AppendFile:
        """Created where it is not there; durable by name only after `sync_names`."""

    def read(self, name: str, offset: int, length: int) -> bytes:
        """Fewer bytes only at the end of the file."""

    def replace(self, name: str, data: bytes) -> None:
        """The whole file, old or new, whatever happens; durable when it returns."""

    def rename(self, name: str, to: str) -> None: ...

    def remove(self, name: str) -> None: ...

    def sync_names(self) -> None:
        """Returns when files created, renamed and removed are durably so."""

    def close(self) -> None: ...


class LocalAppendFile:
    def __init__(self, path: Path) -> None:
        self._fd = os.open(
            path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, FILE_MODE
        )

    def write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(self._fd, view) :]

    def sync(self) -> None:
        os.fdatasync(self._fd)

    def truncate(self, size: int) -> None:
        os.ftruncate(self._fd, size)

    def close(self) -> None:
        os.close(self._fd)


class LocalFiles:
    """A folder of a local file system (not NFS: its locks and syncs promise less)."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock_fd: int | None = None

    def lock(self) -> None:
        self._folder.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
        self._folder.chmod(FOLDER_MODE)
        fd = os.open(self._folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, FILE_MODE)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(fd)
            raise SpoolInUse(f"another process has the spool in {self._folder}") from None
        self._lock_fd = fd

    def names(self) -> Sequence[str]:
        return sorted(
            entry.name for entry in self._folder.iterdir() if entry.is_file() and entry.name != _LOCK
        )

    def size(self, name: str) -> int:
        return (self._folder / name).stat().st_size

    def modified_at_s(self, name: str) -> float:
        return (self._folder / name).stat().st_mtime

    def append_to(self, name: str) -> AppendFile:
        return LocalAppendFile(self._folder / name)

    def read(self, name: str, offset: int, length: int) -> bytes:
        fd = os.open(self._folder / name, os.O_RDONLY | os.O_CLOEXEC)
        try:
            parts = []
            while length > 0 and (part := os.pread(fd, length, offset)):
                parts.append(part)
                offset += len(part)
                length -= len(part)
            return b"".join(parts)
        finally:
            os.close(fd)

    def replace(self, name: str, data: bytes) -> None:
        temporary = self._folder / f"{name}.new"
        temporary.unlink(missing_ok=True)
        file = LocalAppendFile(temporary)
        try:
            file.write(data)
            file.sync()
        finally:
            file.close()
        temporary.replace(self._folder / name)
        self.sync_names()

    def rename(self, name: str, to: str) -> None:
        (self._folder / name).rename(self._folder / to)

    def remove(self, name: str) -> None:
        (self._folder / name).unlink()

    def sync_names(self) -> None:
        fd = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def close(self) -> None:
        if self._lock_fd is not None:
            os.close(self._lock_fd)
            self._lock_fd = None
