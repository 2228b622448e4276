"""The sandbox's application. Nothing happens at import."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from starlette.applications import Starlette
from starlette.routing import BaseRoute, Route

from vitrin.sandbox.ads.pixels import PixelDoor, meta_event, pinterest_event
from vitrin.sandbox.commands import refusing
from vitrin.sandbox.consent import Consent
from vitrin.sandbox.control import Control
from vitrin.sandbox.gate import PlatformGate
from vitrin.sandbox.keeper import StateKeeper, load_world
from vitrin.sandbox.settings import SandboxSettings
from vitrin.sandbox.shopify.consent import ShopConsent, storage
from vitrin.sandbox.storefront.door import Storefront
from vitrin.sandbox.storefront.settings import StorefrontBook, StorefrontControl
from vitrin.sandbox.timing import Clock, utc_clock
from vitrin.sandbox.world import World, build_world

METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]


def create_app(settings: SandboxSettings, *, clock: Clock = utc_clock) -> Starlette:
    """Platforms under their hosts, the sandbox's own commands under ``/_sandbox``, the page at ``/``.

    With a state file the world is that of the file, and the lifespan keeps it there.
    """
    if settings.state_file is None:
        world, keeper = build_world(settings, clock=clock), None
    else:
        world = load_world(settings, settings.state_file, clock=clock)
        keeper = StateKeeper(world, path=settings.state_file)
    storefronts = StorefrontBook()
    command = StorefrontControl(world.street.book, storefronts)
    routes: list[BaseRoute] = [
        *Storefront(world.street.book, storefronts, world.now_ms).routes(),
        Route("/_sandbox/shops/{kind}/{host}/storefront", refusing(command.put), methods=["PUT"]),
        *Control(world, keeper=keeper).routes(),
        *Consent(world).routes(),
        *ShopConsent(world).routes(),
        Route("/_storage/{file}", storage(world), methods=["GET", "HEAD"]),
    ]
    for door in [*world.platforms.values(), *world.street.doors.values()]:
        gate = PlatformGate(world=world, platform=door)
        routes.append(Route(f"/{door.host}/{{path:path}}", gate.serve, methods=METHODS))
    for pixel in (
        PixelDoor(world.platforms["meta"], host="www.facebook.com/tr", read=meta_event),
        PixelDoor(world.platforms["pinterest"], host="ct.pinterest.com", read=pinterest_event),
    ):
        gate = PlatformGate(world=world, platform=pixel)
        routes.append(Route(f"/{pixel.host}{{path:path}}", gate.serve, methods=["GET", "POST"]))
    return Starlette(routes=routes, lifespan=_living(world, keeper))


def _living(
    world: World, keeper: StateKeeper | None
) -> Callable[[Starlette], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        async with world.street.open():
            if keeper is None:
                yield
                return
            task = asyncio.create_task(keeper.run(), name="sandbox-state")
            try:
                yield
            finally:
                keeper.stop()
                await task

    return lifespan
