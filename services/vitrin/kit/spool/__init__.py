"""Spool: acknowledged means durable on this machine's disk, whatever is down (ADR 16)."""

from vitrin.kit.spool.errors import (
    PositionGone,
    PositionUnknown,
    RecordTooLarge,
    SpoolFailing,
    SpoolFull,
    SpoolInUse,
)
from vitrin.kit.spool.files import AppendFile, LocalFiles, SpoolFiles
from vitrin.kit.spool.layout import Record
from vitrin.kit.spool.log import Batch, Recovery, SpoolLimits
from vitrin.kit.spool.spool import Spool, SpoolReader

__all__ = [
    "AppendFile",
    "Batch",
    "LocalFiles",
    "PositionGone",
    "PositionUnknown",
    "Record",
    "RecordTooLarge",
    "Recovery",
    "Spool",
    "SpoolFailing",
    "SpoolFiles",
    "SpoolFull",
    "SpoolInUse",
    "SpoolLimits",
    "SpoolReader",
]
