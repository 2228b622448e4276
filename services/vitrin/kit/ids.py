"""Typed ids. UUIDv7 everywhere, so that an index grows at its end; API keys have their own short text id."""

from typing import NewType
from uuid import UUID

from uuid_utils.compat import uuid7

BrandId = NewType("BrandId", UUID)
ConnectionId = NewType("ConnectionId", UUID)
ChannelId = NewType("ChannelId", UUID)
ImportId = NewType("ImportId", UUID)
KeyId = NewType("KeyId", str)


def new_uuid() -> UUID:
    value: UUID = uuid7()
    return value
