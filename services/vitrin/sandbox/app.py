"""The sandbox's application. Nothing happens at import."""

from starlette.applications import Starlette
from starlette.routing import BaseRoute, Route

from vitrin.sandbox.control import Control
from vitrin.sandbox.gate import PlatformGate
from vitrin.sandbox.saving import keeping
from vitrin.sandbox.settings import SandboxSettings
from vitrin.sandbox.timing import Clock, utc_clock
from vitrin.sandbox.world import build_world

METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]


def create_app(settings: SandboxSettings, *, clock: Clock = utc_clock) -> Starlette:
    """Platforms under their hosts, the sandbox's own commands under ``/_sandbox``, the page at ``/``."""
    world = build_world(settings, clock=clock)
    routes: list[BaseRoute] = list(Control(world).routes())
    for platform in world.platforms.values():
        gate = PlatformGate(world=world, platform=platform)
        routes.append(Route(f"/{platform.host}/{{path:path}}", gate.serve, methods=METHODS))
    lifespan = keeping(world, settings.state_path) if settings.state_path is not None else None
    return Starlette(routes=routes, lifespan=lifespan)
