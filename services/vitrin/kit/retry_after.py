"""What a receiver or a server says about when to come again. Pure."""

from datetime import timedelta


def parse_retry_after(value: str | None) -> timedelta | None:
    """Of the header `Retry-After` the form in seconds only: a date would trust the other side's clock."""
    if value is None or not value.isascii() or not value.isdigit() or len(value) > 9:
        return None
    return timedelta(seconds=int(value))
