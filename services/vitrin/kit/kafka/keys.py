"""Which partition a key belongs to."""

import struct
from functools import lru_cache
from typing import Final

_SEED: Final = 0x9747B28C
_M: Final = 0x5BD1E995
_WORD: Final = 0xFFFFFFFF
_HEAD_BYTES: Final = 36
"""Our keys begin with a brand's id (36 characters); a brand sends many, so that part is hashed once."""


def partition_of(key: bytes, partitions: int) -> int:
    """Where Kafka's own clients put a key. Said by us with every record, from the declared number of partitions, so
    that a topic that was made anew in another shape refuses the record or still keeps the order per key."""
    return (murmur2(key) & 0x7FFFFFFF) % partitions


def murmur2(data: bytes) -> int:
    """32 bits, as Kafka's clients compute it (their form of MurmurHash2; kafka-python's own takes 10 us a key)."""
    length = len(data)
    head = _HEAD_BYTES if length >= _HEAD_BYTES else 0
    words = length & ~3
    mixed = _mixed(_head(data[:head], length), data[head:words])
    if length > words:
        mixed = (mixed ^ int.from_bytes(data[words:], "little")) * _M & _WORD
    mixed = (mixed ^ mixed >> 13) * _M & _WORD
    return mixed ^ mixed >> 15


@lru_cache(maxsize=8_192)
def _head(head: bytes, length: int) -> int:
    return _mixed(_SEED ^ length, head)


def _mixed(mixed: int, words: bytes) -> int:
    for word in struct.unpack(f"<{len(words) >> 2}I", words):
        scrambled = word * _M & _WORD
        mixed = (mixed * _M & _WORD) ^ ((scrambled ^ scrambled >> 24) * _M & _WORD)
    return mixed
