"""Manners that every door of every service has."""

from collections.abc import Iterator

from fastapi import APIRouter
from fastapi.routing import APIRoute

from vitrin.accounts.api import ROUTERS
from vitrin.accounts.api.people import welcome_router
from vitrin.catalog.api import imports_router, items_router, offers_router, shops_router
from vitrin.kit.idempotency import HEADER_PARAMETER
from vitrin.kit.ops.access import operator_only
from vitrin.notify import api_notifications
from vitrin.notify.api import router as notify_router
from vitrin.retargeting import api as retargeting_api
from vitrin.shop_sync import api, api_removals

ASKS_A_PLATFORM = frozenset(
    {
        "/v1/connections:authorize",
        "/v1/connections/{connection_id}:choose",
        "/v1/connections/{connection_id}:renew",
    }
)
"""They wait for a platform, which nobody does in an open transaction; repeating one is harmless."""
CALLS_OR_COUNTS = frozenset(
    {
        "/v1/notification_channels/{notification_channel_id}:test",
        "/v1/notification_channels/{notification_channel_id}:confirm",
    }
)
"""The one waits for a mail server or for Slack; the other counts wrong codes, which a refused call would undo."""

OF_A_KEY = (
    *(
        router for router in ROUTERS if router is not welcome_router
    ),  # an invitation is accepted once by itself
    items_router,
    offers_router,
    imports_router,
    shops_router,
    api.router,
    api_removals.router,
    notify_router,
    api_notifications.router,
    api_notifications.calling_router,
    retargeting_api.router,
)


def posts(routers: tuple[APIRouter, ...]) -> Iterator[APIRoute]:
    for router in routers:
        for route in router.routes:
            if isinstance(route, APIRoute) and "POST" in route.methods:
                yield route


def test_every_post_of_an_api_key_takes_an_idempotency_key() -> None:
    found = 0
    for route in posts(OF_A_KEY):
        if route.path in ASKS_A_PLATFORM | CALLS_OR_COUNTS or operator_only in [
            one.dependency for one in route.dependencies
        ]:
            continue
        found += 1
        assert (route.openapi_extra or {}).get("parameters", []).count(HEADER_PARAMETER) == 1, route.path
    assert found >= 10
