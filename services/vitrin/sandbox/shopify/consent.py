"""Shopify's consent screen, and the place where results of bulk operations lie.

A merchant installs an app or does not; single scopes cannot be left out. Without a browser: POST the same address with
the form field ``decision=install`` (or ``deny``); the answer is the redirect to the app.
"""

from __future__ import annotations

import base64
import hmac
import re
from collections.abc import Awaitable, Callable
from hashlib import sha256
from html import escape
from urllib.parse import parse_qsl, urlencode, urlsplit

from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from vitrin.sandbox.bodies import read_capped
from vitrin.sandbox.consent import BODY_BYTES_MAX, Unusable
from vitrin.sandbox.control_shops import HOSTS
from vitrin.sandbox.grants import CODE_LIFETIME_MS, Code
from vitrin.sandbox.page import STYLE
from vitrin.sandbox.shops.book import SCOPES
from vitrin.sandbox.world import World

FILE = re.compile(r"bulk-\d+-[0-9a-f]+\.jsonl")


class ShopConsent:
    """The screens of one world. A shop that is not there yet comes to be by consent."""

    def __init__(self, world: World) -> None:
        self._world = world

    def routes(self) -> list[Route]:
        """Under the shop's own address."""
        return [Route("/shopify/{shop}/admin/oauth/authorize", self.serve, methods=["GET", "POST"])]

    async def serve(self, request: Request) -> Response:
        """The screen, or what follows from it."""
        try:
            app_id, redirect_uri, scopes = self._asked(request)
            if request.method == "GET":
                return HTMLResponse(_screen(request, app_id, redirect_uri, scopes))
            body, _size = await read_capped(request, bytes_max=BODY_BYTES_MAX)
            decision = dict(parse_qsl((body or b"").decode(errors="replace"))).get("decision")
            if decision not in ("install", "approve", "deny"):
                raise Unusable("Send the form field decision, install or deny.")
            return self._decide(request, app_id, redirect_uri, scopes, denied=decision == "deny")
        except Unusable as reason:
            return HTMLResponse(
                _page(f"<h2>This dialog cannot be shown</h2><p>{escape(str(reason))}</p>"), 400
            )

    def _asked(self, request: Request) -> tuple[str, str, tuple[str, ...]]:
        query, host = request.query_params, request.path_params["shop"].lower()
        if HOSTS["shopify"].fullmatch(host) is None:
            raise Unusable(f"{host!r} is not the domain of a shop.")
        app_id, redirect_uri = query.get("client_id", ""), query.get("redirect_uri", "")
        if self._world.grants.app_secret("shopify", app_id) is None:
            raise Unusable(
                f"Could not find Shopify API application with api_key {app_id}."
                " Register it at /_sandbox/shops/apps."
            )
        parts = urlsplit(redirect_uri)
        if parts.scheme not in ("http", "https") or not parts.netloc or parts.fragment:
            raise Unusable("invalid_request: The redirect_uri is not whitelisted.")
        scopes = tuple(query.get("scope", "").replace(",", " ").split())
        unknown = [scope for scope in scopes if scope not in SCOPES]
        if unknown or not scopes:
            raise Unusable(f"invalid_scope: {', '.join(unknown) or 'none was asked for'}.")
        return app_id, redirect_uri, scopes

    def _decide(
        self, request: Request, app_id: str, redirect_uri: str, scopes: tuple[str, ...], *, denied: bool
    ) -> Response:
        book, now_ms = self._world.street.book, self._world.now_ms()
        host = request.path_params["shop"].lower()
        if denied:
            # Shopify just goes back to its own admin when a merchant cancels; the app is told in this way where the
            # consent was begun inside OAuth (unverified).
            fields = {"error": "access_denied", "error_description": "The merchant denied the request."}
        else:
            if book.find("shopify", host) is None:
                book.open("shopify", host)
            fields = {
                "code": self._world.grants.give_code(
                    Code(f"shopify/{host}", app_id, "", scopes, 0, None, now_ms + CODE_LIFETIME_MS)
                ),
                "host": base64.b64encode(f"admin.shopify.com/store/{host.partition('.')[0]}".encode())
                .decode()
                .rstrip("="),
            }
        fields |= {"shop": host, "timestamp": str(now_ms // 1000)}
        if "state" in request.query_params:
            fields["state"] = request.query_params["state"]
        secret = self._world.grants.app_secret("shopify", app_id) or ""
        parts = urlsplit(redirect_uri)
        # As Shopify's libraries write it: sorted, encoded as a form. Signed is everything that comes back in the
        # query, the app's own words in redirect_uri included.
        signed = dict(parse_qsl(parts.query)) | fields
        text = urlencode(sorted(signed.items()))
        signed["hmac"] = hmac.new(secret.encode(), text.encode(), sha256).hexdigest()
        target = parts._replace(query=urlencode(signed)).geturl()
        return RedirectResponse(target, status_code=302, headers={"cache-control": "no-store"})


def storage(world: World) -> Callable[[Request], Awaitable[Response]]:
    """Results of bulk operations, by their unguessable names; ranges are served."""

    async def serve(request: Request) -> Response:
        name = request.path_params["file"]
        path = world.street.bulk.folder / name
        if FILE.fullmatch(name) is None or not path.is_file():
            return Response("<Error><Code>NoSuchKey</Code></Error>", 404, media_type="application/xml")
        return FileResponse(path, media_type="application/jsonl")

    return serve


def _screen(request: Request, app_id: str, redirect_uri: str, scopes: tuple[str, ...]) -> str:
    items = "".join(f"<li><code>{escape(scope)}</code></li>" for scope in scopes)
    return _page(
        f"<h2>Install app {escape(app_id)} in {escape(request.path_params['shop'])}</h2>"
        f'<p class="soft">It sends you back to {escape(redirect_uri)}</p><ul>{items}</ul>'
        f'<form method="post" action="?{escape(str(request.url.query), quote=True)}">'
        '<p><button name="decision" value="install">Install</button> '
        '<button name="decision" value="deny">Cancel</button></p></form>'
    )


def _page(body: str) -> str:
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Install app (sandbox)</title>'
        f"<style>{STYLE}</style></head><body><header><h1>Shopify, played by the sandbox</h1></header>"
        f'<main><section class="card">{body}</section></main></body></html>'
    )
