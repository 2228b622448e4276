"""What audiences and conversions have in common: records in, one verdict per record out.

The words are those of `base`: a call that failed as a whole raises `PlatformFailure`; where several records were in it
and INVALID_REQUEST names nobody, `kit.delivery.bisect` finds the culprit by record ids, just as it does for items.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from vitrin.platforms.base import FailureKind, Outcome, PlatformFailure, Problem


@dataclass(frozen=True, slots=True)
class RecordVerdict:
    """What became of one record. UNKNOWN: the network does not say; it may be sent again, since members are kept by
    their hashes and events by their ids, so a repeat changes nothing (within `ConversionCapabilities.dedupe`).

    `ready_in_s`: REFUSED for now only, because the network is not ready for such a record yet (a conversion action
    made an hour ago): keep it in a waiting room and send it again, as it is, after that many seconds. None: for good.
    """

    record_id: str
    outcome: Outcome
    reasons: tuple[Problem, ...] = ()
    warnings: tuple[Problem, ...] = ()
    ready_in_s: float | None = None


@dataclass(frozen=True, slots=True)
class Limits:
    """Of one call."""

    records_max: int
    bytes_max: int


def check_batch(ids: Sequence[str], *, records: int, size_bytes: int, limits: Limits) -> None:
    """Raises PlatformFailure for a batch that must not be sent; nothing has been sent then. `records`: as the network
    counts them (a person may take several rows)."""
    if records > limits.records_max or size_bytes > limits.bytes_max:
        raise PlatformFailure(
            FailureKind.TOO_LARGE,
            code="batch_too_large",
            message=f"{records} records of {size_bytes} bytes; a call takes {limits.records_max} records and "
            f"{limits.bytes_max} bytes",
            fix="Send fewer records per call.",
        )
    if not ids or len(set(ids)) != len(ids):
        raise PlatformFailure(
            FailureKind.INVALID_REQUEST,
            code="batch_invalid",
            message="a batch has at least one record, and each id once",
            fix="Send every person or event once per call.",
        )


def all_of(
    ids: Sequence[str], outcome: Outcome, *, reason: Problem | None = None
) -> tuple[RecordVerdict, ...]:
    """The same verdict for everybody."""
    reasons = (reason,) if reason else ()
    return tuple(RecordVerdict(one, outcome, reasons) for one in ids)
