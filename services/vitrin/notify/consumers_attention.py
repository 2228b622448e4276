"""The door for what needs a person: held removals, connections that fail, and what the services say themselves."""

import re
from collections.abc import Sequence
from typing import Final

from vitrin.events import topics
from vitrin.events.envelope import InvalidMessage, Message
from vitrin.kit.attention import SEVERITIES, Concern
from vitrin.kit.consumer.handling import Handler
from vitrin.kit.db.session import WriteSession
from vitrin.notify.domain.register import CONNECTION_FAILED, REMOVAL_HELD
from vitrin.notify.service.attending import Attending, Over, Said
from vitrin.platforms.registry import OAUTH, PLATFORMS, SHOPS
from vitrin.protos.accounts.v1.events_pb2 import ConnectionChanged
from vitrin.protos.kit.v1.attention_pb2 import Attention, AttentionState
from vitrin.protos.shop_sync.v1.events_pb2 import RemovalDecided, RemovalHeld

TOPICS: Final = (
    topics.CONNECTION,
    topics.ALERT,
    topics.ACCOUNTS_ATTENTION,
    topics.CATALOG_ATTENTION,
    topics.SYNC_ATTENTION,
)
_FAILED: Final = {
    "token_expired": "the token of the connection has expired",
    "refused": "the token of the connection was refused",
    "uninstalled": "the app was removed at the shop, or its key deleted",
}
_KIND: Final = re.compile(r"[a-z_]+\.[a-z_]+")
_SEVERITIES: Final = {number: name for name, number in SEVERITIES.items()}


def attention_handler(attending: Attending) -> Handler:
    """Notices are written in the transaction of the offsets."""

    async def handle(tx: WriteSession, messages: Sequence[Message]) -> None:
        await attending.hear(tx, [said_by(message) for message in messages])

    return handle


def said_by(message: Message) -> Said:
    """InvalidMessage when it says nothing that can be used."""
    match message.decode():
        case Attention() as attention:
            return _attention(message, attention)
        case RemovalHeld(request_id=request) as held if request:
            return _said(message, _removal(held))
        case RemovalDecided(request_id=request) if request:
            return _said(message, Over(REMOVAL_HELD, request))
        case ConnectionChanged(connection_id=connection) as changed if connection:
            said = _connection(changed) if _fails(changed) else Over(CONNECTION_FAILED, connection)
            return Said(
                brand_id=message.brand_id,
                source_id=message.event_id,
                object_key=f"attention/connection/{connection}",
                version=changed.version,
                what=said,
            )
        case other:
            raise InvalidMessage(f"{type(other).__name__} is nothing that needs a person, or lacks its id")


def _said(message: Message, what: Concern | Over) -> Said:
    return Said(brand_id=message.brand_id, source_id=message.event_id, object_key="", version=None, what=what)


def _attention(message: Message, attention: Attention) -> Said:
    if not _KIND.fullmatch(attention.kind) or not attention.cause:
        raise InvalidMessage(f"an attention needs a kind such as a.b and a cause: {attention.kind[:100]!r}")
    if attention.state == AttentionState.ATTENTION_STATE_RESOLVED:
        return _said(message, Over(attention.kind, attention.cause))
    severity = _SEVERITIES.get(attention.severity)
    if severity is None or attention.state != AttentionState.ATTENTION_STATE_OPEN or not attention.title:
        raise InvalidMessage(f"an open {attention.kind} needs a title and a severity")
    concern = Concern(
        kind=attention.kind,
        cause=attention.cause,
        severity=severity,
        title=attention.title,
        detail=attention.detail,
        fix=attention.fix,
        subject=attention.subject,
        look_at=attention.look_at,
    )
    return _said(message, concern)


def _removal(held: RemovalHeld) -> Concern:
    causes = ", ".join(f"{cause.actor}: {cause.items}" for cause in held.causes)
    request = held.request_id
    return Concern(
        kind=REMOVAL_HELD,
        cause=request,
        severity="warning",
        title=held.summary or f"{held.removals + held.zeroings} items wait for an approval",
        detail=f"Until somebody decides, the platform goes on showing them. Who changed them: {causes or 'unknown'}.",
        fix=f"Look at them with `vitrin removals show {request}`, then approve or reject. Where the brand says so,"
        " somebody else than who caused it has to.",
        subject=f"removal:{request}",
        look_at=f"/v1/removals/{request}",
    )


def _fails(changed: ConnectionChanged) -> bool:
    return not changed.deleted and changed.state in _FAILED


def _connection(changed: ConnectionChanged) -> Concern:
    connection, platform = changed.connection_id, changed.platform
    if platform in SHOPS:
        nothing = f"Nothing is read from {SHOPS[platform].title}"
        meanwhile = "Its items stay as they are; what changed meanwhile is read once it works again."
    else:
        nothing = f"Nothing reaches {PLATFORMS[platform].title if platform in PLATFORMS else platform}"
        meanwhile = "Changes are kept and go out once it works again."
    return Concern(
        kind=CONNECTION_FAILED,
        cause=connection,
        severity="critical",
        title=f"{nothing}: {_FAILED[changed.state]}",
        detail=f"{changed.last_error} {meanwhile}".strip(),
        fix=f"Connect again: {_again(changed)}",
        subject=f"connection:{connection}",
        look_at=f"/v1/connections/{connection}",
    )


def _again(changed: ConnectionChanged) -> str:
    """By consent where the platform asks for it. A shop's consent names the shop."""
    connection = changed.connection_id
    if changed.platform in SHOPS and changed.platform not in OAUTH:
        return f"vitrin connection renew {connection}, with a new key"
    shop = f" --shop {changed.external_ids['shop']}" if changed.external_ids.get("shop") else ""
    return f"vitrin connect {changed.platform}{shop} --connection {connection}"
