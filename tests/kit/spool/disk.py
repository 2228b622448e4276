"""A real folder whose disk can fill up, refuse to sync, hang, tear writes, and lose power.

It knows what is durable: the bytes of a file at its last sync, the names at the last sync of the folder. A loss of
power leaves that, and of everything younger a part: a prefix, blocks of it as zeros, a name or none."""

import errno
import threading
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from vitrin.kit.spool import LocalFiles
from vitrin.kit.spool.files import AppendFile

BLOCK_BYTES = 64
"""Small, so that short files have several."""


@dataclass
class Disk:
    """What outlives a process and a loss of power."""

    folder: Path
    room_bytes: int | None = None
    """Bytes that may still be written; None: enough."""
    syncs_fail: int = 0
    truncates_fail: int = 0
    syncs: int = 0
    really: bool = True
    """Whether a sync reaches the real disk too; what it means is kept here anyway."""
    hold: threading.Event | None = None
    """Syncs wait for it."""
    durable: dict[str, bytes] = field(default_factory=dict)
    gone: dict[str, bytes] = field(default_factory=dict)
    """Removed, but the folder was not synced since."""
    unnamed: set[str] = field(default_factory=set)
    """Created, but the folder was not synced since."""

    def write(self, path: Path, data: bytes, file: AppendFile) -> None:
        if self.room_bytes is not None:
            fits, self.room_bytes = data[: self.room_bytes], max(0, self.room_bytes - len(data))
            if len(fits) < len(data):
                file.write(fits)
                raise OSError(errno.ENOSPC, "no space left on device")
        file.write(data)

    def sync(self, path: Path, file: AppendFile) -> None:
        if self.hold is not None:
            self.hold.wait()
        if self.syncs_fail:
            self.syncs_fail -= 1
            raise OSError(errno.EIO, "input/output error")
        if self.really:
            file.sync()
        self.syncs += 1
        self.durable[path.name] = path.read_bytes()

    def lose_power(self, random: Random) -> None:
        for name, data in self.gone.items():
            if random.random() < 0.5:
                (self.folder / name).write_bytes(data)
        for path in list(self.folder.iterdir()):
            if path.name in self.unnamed and random.random() < 0.5:
                path.unlink()
                continue
            kept, now = self.durable.get(path.name, b""), path.read_bytes()
            if now.startswith(kept):
                path.write_bytes(kept + torn(now[len(kept) :], random))
            elif random.random() < 0.5:
                path.write_bytes(kept)
        self.room_bytes, self.syncs_fail, self.truncates_fail = None, 0, 0
        self.gone.clear()
        self.unnamed.clear()
        self.durable = {path.name: path.read_bytes() for path in self.folder.iterdir()}


def torn(tail: bytes, random: Random) -> bytes:
    part = bytearray(tail[: random.randint(0, len(tail))])
    if random.random() < 0.5:
        for begin in range(0, len(part), BLOCK_BYTES):
            if random.random() < 0.3:
                end = min(begin + BLOCK_BYTES, len(part))
                part[begin:end] = bytes(end - begin)
    return bytes(part)


class FaultyFile:
    def __init__(self, disk: Disk, path: Path, real: AppendFile) -> None:
        self._disk, self._path, self._real = disk, path, real

    def write(self, data: bytes) -> None:
        self._disk.write(self._path, data, self._real)

    def sync(self) -> None:
        self._disk.sync(self._path, self._real)

    def truncate(self, size: int) -> None:
        if self._disk.truncates_fail:
            self._disk.truncates_fail -= 1
            raise OSError(errno.EIO, "input/output error")
        self._real.truncate(size)

    def close(self) -> None:
        self._real.close()


class FaultyFiles(LocalFiles):
    """As a process sees the disk; what it leaves behind is the disk's."""

    def __init__(self, disk: Disk) -> None:
        super().__init__(disk.folder)
        self._disk = disk

    def append_to(self, name: str) -> AppendFile:
        path = self._disk.folder / name
        if not path.exists():
            self._disk.unnamed.add(name)
        return FaultyFile(self._disk, path, super().append_to(name))

    def replace(self, name: str, data: bytes) -> None:
        if self._disk.room_bytes is not None and self._disk.room_bytes < len(data):
            raise OSError(errno.ENOSPC, "no space left on device")
        if self._disk.really:
            super().replace(name, data)
        else:
            (self._disk.folder / name).write_bytes(data)
        self._disk.durable[name] = data

    def rename(self, name: str, to: str) -> None:
        super().rename(name, to)
        self._disk.durable[to] = self._disk.durable.pop(name, b"")

    def remove(self, name: str) -> None:
        self._disk.gone[name] = self._disk.durable.pop(name, b"")
        if name in self._disk.unnamed:
            self._disk.unnamed.discard(name)
            del self._disk.gone[name]
        super().remove(name)

    def sync_names(self) -> None:
        if self._disk.really:
            super().sync_names()
        self._disk.gone.clear()
        self._disk.unnamed.clear()
