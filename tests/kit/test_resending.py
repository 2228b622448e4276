"""What a new incarnation of a topic is given."""

from datetime import UTC, datetime, timedelta

import pytest

from vitrin.kit.db.migration import OUTBOX_KEEP_DAYS
from vitrin.kit.outbox.resending import IN_FULL, KEPT, Resending, resending

NOW = datetime(2031, 5, 1, 12, tzinfo=UTC)
YOUNG, OLD = NOW - timedelta(days=6), NOW - timedelta(days=6, microseconds=1)


@pytest.mark.parametrize(
    ("drained_at", "has_state", "expected"),
    [
        (NOW, True, Resending(NOW, state=False)),
        (YOUNG, True, Resending(YOUNG, state=False)),
        (YOUNG, False, Resending(YOUNG, state=False)),
        (OLD, True, Resending(NOW - IN_FULL, state=True)),
        (None, True, Resending(NOW - IN_FULL, state=True)),
        (OLD, False, Resending(OLD, state=False)),
        (None, False, Resending(None, state=False)),
    ],
)
def test_what_is_sent_again(drained_at: datetime | None, has_state: bool, expected: Resending) -> None:
    assert resending(now=NOW, drained_at=drained_at, has_state=has_state) == expected


def test_a_marker_counts_only_while_every_row_after_it_is_kept() -> None:
    """Rows are dropped by the day, so a day less is certain."""
    assert timedelta(days=OUTBOX_KEEP_DAYS - 1) >= KEPT
