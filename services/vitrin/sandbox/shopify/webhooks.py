"""Webhook subscriptions of one app in one shop."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from graphql import GraphQLError

from vitrin.sandbox.changes import Changes
from vitrin.sandbox.shopify.connections import connection
from vitrin.sandbox.shopify.texts import gid, number_of, utc
from vitrin.sandbox.shopify.topics import ENUM_OF, TOPICS
from vitrin.sandbox.shops.model import Access, Shop, Subscription

LOOPBACK = ("127.0.0.1", "localhost", "::1")
TAKEN = "Address for this topic has already been taken"


class Webhooks:
    """What an app may do with its subscriptions."""

    def __init__(
        self, shop: Shop, access: Access, changes: Changes, *, api_version: str, now_ms: int
    ) -> None:
        self._shop, self._access, self._changes = shop, access, changes
        self._api_version, self._now_ms = api_version, now_ms

    def own(self) -> list[Subscription]:
        """Those of the app."""
        return [one for one in self._shop.subscriptions.values() if one.app_id == self._access.app_id]

    def listed(self, args: dict[str, Any]) -> dict[str, Any]:
        """`webhookSubscriptions`, filtered by topics and address."""
        topics, address = args.get("topics"), args.get("uri") or args.get("callbackUrl")
        found = [
            one
            for one in self.own()
            if (not topics or ENUM_OF[one.topic] in topics) and (not address or one.address == address)
        ]
        return connection(found, self._node, args)

    def by_gid(self, global_id: str) -> dict[str, Any] | None:
        """One of the app's own."""
        number = number_of(global_id, "WebhookSubscription")
        one = next((one for one in self.own() if one.id == number), None)
        return self._node(one) if one is not None else None

    def create(self, topic: str, given: dict[str, Any]) -> dict[str, Any]:
        """`webhookSubscriptionCreate`."""
        header, scope = TOPICS[topic]
        address = given.get("uri") or given.get("callbackUrl") or ""
        problems = _address_problems(address)
        if any(one.topic == header and one.address == address for one in self.own()):
            problems.append(TAKEN)
        if given.get("format") == "XML":
            problems.append("the sandbox sends JSON only")
        if given.get("filter") or given.get("includeFields"):
            problems.append("the sandbox knows neither filter nor includeFields")
        if scope and scope not in {one.replace("write_", "read_") for one in self._access.scopes}:
            raise GraphQLError(
                f"You do not have permission to create or update webhooks with {header} topic.",
                extensions={"code": "ACCESS_DENIED"},
            )
        if problems:
            return {"webhookSubscription": None, "userErrors": [_problem(text) for text in problems]}
        one = Subscription(
            self._shop.new_id(),
            self._access.app_id,
            header,
            address,
            self._now_ms,
            self._now_ms,
            api_version=self._api_version,
            name=given.get("name") or "",
        )
        self._shop.subscriptions[one.id] = one
        self._changes.note()
        return {"webhookSubscription": self._node(one), "userErrors": []}

    def update(self, global_id: str, given: dict[str, Any]) -> dict[str, Any]:
        """`webhookSubscriptionUpdate`: another address."""
        number = number_of(global_id, "WebhookSubscription")
        one = next((one for one in self.own() if one.id == number), None)
        if one is None:
            return {"webhookSubscription": None, "userErrors": [_missing()]}
        address = given.get("uri") or given.get("callbackUrl") or one.address
        problems = _address_problems(address)
        if any(
            each is not one and each.topic == one.topic and each.address == address for each in self.own()
        ):
            problems.append(TAKEN)
        if problems:
            return {"webhookSubscription": None, "userErrors": [_problem(text) for text in problems]}
        one.address, one.updated_ms = address, self._now_ms
        self._changes.note()
        return {"webhookSubscription": self._node(one), "userErrors": []}

    def delete(self, global_id: str) -> dict[str, Any]:
        """`webhookSubscriptionDelete`."""
        number = number_of(global_id, "WebhookSubscription")
        if number is None or all(one.id != number for one in self.own()):
            return {"deletedWebhookSubscriptionId": None, "userErrors": [_missing()]}
        del self._shop.subscriptions[number]
        self._changes.note()
        return {"deletedWebhookSubscriptionId": global_id, "userErrors": []}

    def _node(self, one: Subscription) -> dict[str, Any]:
        version = {"handle": one.api_version, "displayName": one.api_version, "supported": True}
        return {
            "__typename": "WebhookSubscription",
            "id": gid("WebhookSubscription", one.id),
            "legacyResourceId": str(one.id),
            "topic": ENUM_OF[one.topic],
            "uri": one.address,
            "callbackUrl": one.address,
            "endpoint": {"__typename": "WebhookHttpEndpoint", "callbackUrl": one.address},
            "format": "JSON",
            "includeFields": [],
            "metafieldNamespaces": [],
            "filter": None,
            "name": one.name or None,
            "apiVersion": version,
            "createdAt": utc(one.created_ms),
            "updatedAt": utc(one.updated_ms),
        }


def _address_problems(address: str) -> list[str]:
    """Shopify wants https; the stand-in lets plain http to this machine pass, else nobody could try it."""
    try:
        parts = urlsplit(address)
        host = parts.hostname or ""
    except ValueError:
        return ["Address is invalid"]
    if parts.scheme == "https" or (parts.scheme == "http" and host in LOOPBACK):
        return [] if host else ["Address is invalid"]
    return ["Address protocol http:// is not supported" if parts.scheme == "http" else "Address is invalid"]


def _problem(text: str) -> dict[str, Any]:
    return {"field": ["webhookSubscription", "callbackUrl"], "message": text}


def _missing() -> dict[str, Any]:
    return {"field": ["id"], "message": "Webhook subscription does not exist"}
