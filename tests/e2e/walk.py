"""Every route of the services, from their own OpenAPI documents, so that a new one is walked by itself."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from tests.e2e.system import SERVICES, Brand, Document, System

METHODS = ("get", "post", "put", "patch", "delete")
OPERATOR_ROUTES = {("accounts", "POST", "/v1/brands")}
OPERATOR_PREFIX = "/v1/ops/"
OWN_TOKEN_ROUTES = {("accounts", "POST", "/v1/invitations:accept")}
"""Opened by a token in the body, whatever key comes with it."""

SIGNED_PREFIX = "/v1/webhooks/"
"""Opened by the signature of a shop."""


@dataclass(frozen=True)
class Operation:
    """One method of one path. `example` is a body that its own document calls good."""

    service: str
    method: str
    path: str
    names: tuple[str, ...]
    media_type: str | None
    example: Any

    def __str__(self) -> str:
        return f"{self.service} {self.method} {self.path}"

    @property
    def writes(self) -> bool:
        return self.method != "GET"

    @property
    def for_the_operator(self) -> bool:
        return self.is_ops or (self.service, self.method, self.path) in OPERATOR_ROUTES

    @property
    def has_own_token(self) -> bool:
        return (self.service, self.method, self.path) in OWN_TOKEN_ROUTES or self.path.startswith(
            SIGNED_PREFIX
        )

    @property
    def is_ops(self) -> bool:
        """Of the house, not of a brand: opened by the operator token alone."""
        return self.path.startswith(OPERATOR_PREFIX)

    def url(self, ids: Mapping[str, str]) -> str:
        """A name without an id is a KeyError: say in `ids_of` what the new one is."""
        path = self.path
        for name in self.names:
            path = path.replace(f"{{{name}}}", quote(ids[name], safe=""))
        return path

    def request(self) -> Document:
        """Keyword arguments of httpx: the body."""
        if self.media_type is None:
            return {}
        if self.media_type == "application/json":
            return {"json": self.example}
        return {"content": b"id,title,price\nx,X,1.00 EUR\n", "headers": {"Content-Type": self.media_type}}


def operations(system: System) -> list[Operation]:
    return [one for service in SERVICES for one in _of(service, system.openapi(service))]


def _of(service: str, document: Document) -> Iterator[Operation]:
    for path, methods in document["paths"].items():
        for method in METHODS:
            if method not in methods:
                continue
            content = methods[method].get("requestBody", {}).get("content", {})
            media_type = next(iter(content), None)
            schema = content[media_type]["schema"] if media_type else {}
            names = tuple(p["name"] for p in methods[method].get("parameters", []) if p["in"] == "path")
            example = example_of(schema, document)
            yield Operation(service, method.upper(), path, names, media_type, example)


def example_of(schema: Document, document: Document) -> Any:
    """The schema's own example, else an object of the examples of what it requires."""
    if "$ref" in schema:
        return example_of(document["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]], document)
    if "example" in schema:
        return schema["example"]
    if schema.get("examples"):
        return schema["examples"][0]
    properties = schema.get("properties", {})
    return {name: example_of(properties[name], document) for name in schema.get("required", [])}


def ids_of(brand: Brand, *, item_id: str, import_id: str) -> dict[str, str]:
    """What a path may name, of this brand."""
    channels = brand.ok("shop_sync", "GET", "/v1/channels")["data"]
    keys = brand.ok("accounts", "GET", "/v1/api-keys")["data"]
    invitations = [
        brand.ok("accounts", "POST", "/v1/invitations", json={"email": f"{name}@a.example"})
        for name in ("ada", "bob")
    ]
    accepted = {"token": invitations[0]["token"], "name": "Ada"}
    member = brand.ok("accounts", "POST", "/v1/invitations:accept", json=accepted)["member"]
    consent = {"platform": "meta", "mode": "sandbox"}
    attempt = brand.ok("accounts", "POST", "/v1/connections:authorize", json=consent)
    return {
        "brand_id": brand.id,
        "member_id": member["id"],
        "invitation_id": invitations[1]["id"],
        "key_id": keys[0]["id"],
        "connection_id": brand.connections["meta"],
        "attempt_id": attempt["attempt_id"],
        "channel_id": channels[0]["id"],
        "item_id": item_id,
        "import_id": import_id,
        "request_id": brand.ok("shop_sync", "GET", "/v1/removals")["data"][0]["id"],
        "endpoint_id": brand.ok("notify", "GET", "/v1/webhook_endpoints")["data"][0]["id"],
        "event_id": brand.ok("notify", "GET", "/v1/webhook_events")["data"][0]["id"],
        "notification_id": brand.ok("notify", "GET", "/v1/notifications")["data"][0]["id"],
        "notification_channel_id": brand.ok("notify", "GET", "/v1/notification_channels")["data"][0]["id"],
    }
