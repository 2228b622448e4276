"""The engine's state as bytes, and back: an engine that was restored behaves as if it had never stopped.

Layout: magic, version, length of a JSON header, header, the arrays one after another (little-endian), CRC-32. Equal
states give equal bytes, whatever their history. A checkpoint belongs to a plan; for another plan the log is read
instead.
"""

import json
import struct
import zlib
from typing import Any, Final

import numpy as np

from vitrin.retargeting.audiences.engine import state
from vitrin.retargeting.audiences.engine.arrays import AnyArray
from vitrin.retargeting.audiences.engine.engine import Engine
from vitrin.retargeting.audiences.engine.kernels import Loop
from vitrin.retargeting.audiences.engine.plan import Plan

MAGIC: Final = b"VAUD"
VERSION: Final = 1
_HEAD: Final = struct.Struct("<4sHI")
_CRC: Final = struct.Struct("<I")


class CheckpointRefused(ValueError):
    """Cut, changed, of another version or another plan: rebuild from the log."""


def checkpoint(engine: Engine) -> bytes:
    subjects, pool, size = engine.subjects, engine.pool, engine.subjects.size
    events, count = state.packed_events(pool, size)
    used, cls = np.unique(events[:, state.CLS], return_inverse=True)
    # Classes get numbers as they occur; sorted by their bits, two engines with another history write the same.
    rows = engine.classes.rows()[used]
    order = np.lexsort(rows.T)
    rank = np.empty(len(order), dtype=np.int32)
    rank[order] = np.arange(len(order), dtype=np.int32)
    arrays: dict[str, AnyArray] = {
        "known": subjects.known[:size],
        "facts": subjects.facts[:size],
        "mask": subjects.mask[:size],
        "next": subjects.next[:size],
        "count": count,
        "at": events[:, state.AT],
        "cls": rank[cls],
        "value": events[:, state.VALUE],
        "classes": rows[order],
    }
    header = {
        "plan": engine.plan.version(),
        "clock": engine.clock,
        "position": engine.position,
        "arrays": [[name, array.dtype.str, list(array.shape)] for name, array in arrays.items()],
    }
    text = json.dumps(header, sort_keys=True).encode()
    body = b"".join(
        (_HEAD.pack(MAGIC, VERSION, len(text)), text, *(array.tobytes() for array in arrays.values()))
    )
    return body + _CRC.pack(zlib.crc32(body))


def restore(plan: Plan, data: bytes, *, loop: Loop = "auto") -> Engine:
    """Raises CheckpointRefused."""
    header, arrays = _read(data)
    if header["plan"] != plan.version():
        raise CheckpointRefused("the checkpoint belongs to other rules or bounds")
    engine = Engine(plan, clock=header["clock"], loop=loop)
    size = len(arrays["known"])
    engine.position = header["position"]
    engine.subjects.reserve(size)
    engine.subjects.known[:size] = arrays["known"]
    engine.subjects.facts[:size] = arrays["facts"]
    engine.subjects.mask[:size] = arrays["mask"]
    engine.subjects.schedule(np.arange(size), arrays["next"])
    numbers = engine.classes.of(arrays["classes"]) if len(arrays["classes"]) else np.zeros(0, dtype=np.int64)
    count = arrays["count"]
    pool = state.with_subjects(state.empty_pool(), len(engine.subjects.known))
    pool.blocks[:size] = np.stack((np.cumsum(count) - count, count, count), axis=1)
    pool.tail[0] = len(arrays["at"])
    cls = numbers[arrays["cls"]] if len(arrays["cls"]) else arrays["cls"]
    engine.pool = pool._replace(
        events=np.stack((arrays["at"], cls, arrays["value"]), axis=1).astype(np.int64)
    )
    return engine


def _read(data: bytes) -> tuple[dict[str, Any], dict[str, AnyArray]]:
    if len(data) < _HEAD.size + _CRC.size or not data.startswith(MAGIC):
        raise CheckpointRefused("not a checkpoint")
    if zlib.crc32(data[: -_CRC.size]) != _CRC.unpack(data[-_CRC.size :])[0]:
        raise CheckpointRefused("the checkpoint is cut or changed")
    _, version, length = _HEAD.unpack_from(data)
    if version != VERSION:
        raise CheckpointRefused(f"version {version} of the checkpoint, this program reads {VERSION}")
    place = _HEAD.size + length
    header = json.loads(data[_HEAD.size : place])
    arrays: dict[str, AnyArray] = {}
    for name, kind, shape in header["arrays"]:
        count = int(np.prod(shape))
        arrays[name] = np.frombuffer(data, dtype=kind, count=count, offset=place).reshape(shape)
        place += arrays[name].nbytes
    return header, arrays
