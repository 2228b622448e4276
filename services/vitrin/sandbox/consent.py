"""The consent screens: what a person sees at ``www.facebook.com/.../dialog/oauth`` and ``www.pinterest.com/oauth/``.

Without a browser: POST the same address with a form, ``decision=approve`` (or ``deny``), ``account=<name or id>`` (the
first account by default) and ``scope=...`` once per scope that is ticked (those asked for by default); the answer is
the redirect to the app, as 302 with ``Location``.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from urllib.parse import parse_qsl, urlencode, urlsplit

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from vitrin.sandbox.accounts import Account
from vitrin.sandbox.bodies import read_capped
from vitrin.sandbox.grants import CODE_LIFETIME_MS, Code
from vitrin.sandbox.meta import login as meta
from vitrin.sandbox.page import NAMES, STYLE
from vitrin.sandbox.pinterest import login as pinterest
from vitrin.sandbox.world import World

BODY_BYTES_MAX = 100_000
ACCOUNTS_SHOWN_MAX = 200
DENIED = {
    "meta": {
        "error_reason": "user_denied",
        "error": "access_denied",
        "error_code": "200",
        "error_description": "Permissions error",
    },
    "pinterest": {"error": "access_denied", "error_description": "The user denied the request."},
}
"""What each platform tells the app; Pinterest's is unverified."""
SCOPES = {"meta": meta.SCOPES, "pinterest": pinterest.SCOPES}


class Unusable(Exception):
    """A dialog that cannot be shown: the app must not be redirected to, the person is told instead."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What an app asks for."""

    app_id: str
    redirect_uri: str
    state: str
    scopes: tuple[str, ...]
    challenge: str | None


class Consent:
    """The dialogs of one world."""

    def __init__(self, world: World) -> None:
        self._world = world

    def routes(self) -> list[Route]:
        """The dialogs under their hosts."""

        async def facebook(request: Request) -> Response:
            return await self._serve("meta", request)

        async def pin(request: Request) -> Response:
            return await self._serve("pinterest", request)

        methods = ["GET", "POST"]
        return [
            Route("/www.facebook.com/{version}/dialog/oauth", facebook, methods=methods),
            Route("/www.pinterest.com/oauth/", pin, methods=methods),
            Route("/www.pinterest.com/oauth", pin, methods=methods),
        ]

    async def _serve(self, platform: str, request: Request) -> Response:
        try:
            asked = self._asked(platform, request.query_params)
            if request.method == "GET":
                return HTMLResponse(self._screen(platform, asked, str(request.url.query)))
            body, _size = await read_capped(request, bytes_max=BODY_BYTES_MAX)
            return self._decide(platform, asked, parse_qsl((body or b"").decode(errors="replace")))
        except Unusable as reason:
            return HTMLResponse(
                _page(platform, f"<h2>This dialog cannot be shown</h2><p>{escape(str(reason))}</p>"), 400
            )

    def _asked(self, platform: str, query: Mapping[str, str]) -> Asked:
        app_id, redirect_uri = query.get("client_id", ""), query.get("redirect_uri", "")
        if self._world.grants.app_secret(platform, app_id) is None:
            raise Unusable(
                f"Invalid app ID: {app_id!r} is not the id of an app. Register it at /_sandbox/oauth/apps."
            )
        parts = urlsplit(redirect_uri)
        if parts.scheme not in ("http", "https") or not parts.netloc or parts.fragment:
            raise Unusable(f"redirect_uri {redirect_uri!r} is not an absolute address.")
        if query.get("response_type", "code") != "code":
            raise Unusable("response_type must be code.")
        scopes = tuple(query.get("scope", "").replace(",", " ").split())
        unknown = [scope for scope in scopes if scope not in SCOPES[platform]]
        if unknown or not scopes:
            raise Unusable(f"Invalid Scopes: {', '.join(unknown) or 'none'}.")
        challenge = query.get("code_challenge") if platform == "meta" else None
        if challenge is not None and query.get("code_challenge_method") != "S256":
            raise Unusable("code_challenge_method must be S256.")
        return Asked(app_id, redirect_uri, query.get("state", ""), scopes, challenge)

    def _decide(self, platform: str, asked: Asked, form: list[tuple[str, str]]) -> Response:
        fields = dict(form)
        if fields.get("decision") == "deny":
            return _back(asked, DENIED[platform])
        if fields.get("decision") != "approve":
            raise Unusable("Send the form field decision, approve or deny.")
        account = self._account(platform, fields.get("account", ""))
        ticked = [value for name, value in form if name == "scope"]
        granted = tuple(scope for scope in asked.scopes if not ticked or scope in ticked)
        if "scopes_shown" in fields and not ticked:
            granted = ()
        code = Code(
            platform=platform,
            app_id=asked.app_id,
            redirect_uri=asked.redirect_uri,
            scopes=granted,
            account_number=account.number,
            challenge=asked.challenge,
            ends_ms=self._world.now_ms() + CODE_LIFETIME_MS,
        )
        return _back(asked, {"code": self._world.grants.give_code(code)})

    def _account(self, platform: str, named: str) -> Account:
        accounts = self._world.accounts.by_platform[platform]
        if not named:
            return accounts[0]
        for account in accounts:
            if named in account.names:
                return account
        raise Unusable(f"There is no account {named!r}; /_sandbox/accounts?all=1 lists them.")

    def _screen(self, platform: str, asked: Asked, query: str) -> str:
        accounts = self._world.accounts.by_platform[platform][:ACCOUNTS_SHOWN_MAX]
        options = "".join(f"<option>{escape(account.name)}</option>" for account in accounts)
        boxes = "".join(
            f'<p><label><input type="checkbox" name="scope" value="{escape(scope)}" checked> '
            f"<code>{escape(scope)}</code></label></p>"
            for scope in asked.scopes
        )
        return _page(
            platform,
            f"<h2>App {escape(asked.app_id)} asks for access to {NAMES[platform]}</h2>"
            f'<p class="soft">It sends you back to {escape(asked.redirect_uri)}</p>'
            f'<form method="post" action="?{escape(query, quote=True)}">'
            f'<p><label>Continue as <select name="account">{options}</select></label></p>{boxes}'
            '<input type="hidden" name="scopes_shown" value="1">'
            '<p><button name="decision" value="approve">Approve</button> '
            '<button name="decision" value="deny">Deny</button></p></form>',
        )


def _back(asked: Asked, answer: Mapping[str, str]) -> Response:
    parts = urlsplit(asked.redirect_uri)
    query = [*parse_qsl(parts.query), *answer.items(), ("state", asked.state)]
    target = parts._replace(query=urlencode(query)).geturl()
    return RedirectResponse(target, status_code=302, headers={"cache-control": "no-store"})


def _page(platform: str, body: str) -> str:
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Consent (sandbox)</title>'
        f"<style>{STYLE}</style></head><body><header><h1>{NAMES[platform]}, played by the sandbox</h1></header>"
        f'<main><section class="card {platform}">{body}</section></main></body></html>'
    )
