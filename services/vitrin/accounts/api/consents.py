"""/v1/connections:authorize, /v1/oauth, and the choice of assets: connecting a platform by consent."""

from typing import Annotated, Any
from urllib.parse import urlsplit
from uuid import UUID

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from vitrin.accounts.api import pages
from vitrin.accounts.api.connections import shown
from vitrin.accounts.api.parts import Reader, Writer
from vitrin.accounts.connecting import Connecting
from vitrin.accounts.domain import ConnectionMode, is_loopback
from vitrin.accounts.domain_oauth import ATTEMPT_LIFETIME, browser_mark
from vitrin.accounts.errors_oauth import NotByConsent, OAuthNotConfigured, RenewalRefused, RenewalUnderWay
from vitrin.accounts.kinds import KINDS
from vitrin.accounts.schemas_oauth import (
    AppPut,
    AssetList,
    Attempt,
    AuthorizeAnswer,
    AuthorizeRequest,
    ChooseRequest,
    ConnectionWithToken,
    OwnApp,
    OwnApps,
    secret_of,
)
from vitrin.kit.clock import Clock
from vitrin.kit.errors import VitrinError
from vitrin.kit.ids import ConnectionId

router = APIRouter(prefix="/v1", tags=["connecting by consent"])
Platform = Annotated[str, Query(max_length=64)]
ANSWER_LENGTH_MAX = 4_096
"""Characters of one value that a platform sends back; longer ones are cut and so match nothing."""


def _parts(request: Request) -> Connecting:
    found: Connecting = request.app.state.connecting
    return found


def _base(request: Request) -> str:
    """Our own address, where people begin and the platform sends them back to."""
    public: str = request.app.state.public_url
    if public:
        return public.rstrip("/")
    base = str(request.base_url).rstrip("/")
    if not is_loopback(urlsplit(base).hostname or ""):
        raise OAuthNotConfigured(
            "Accounts does not know its own address.",
            fix="Set ACCOUNTS_PUBLIC_URL, such as https://accounts.example.",
        )
    return base


@router.post("/connections:authorize", status_code=201)
async def authorize(request: Request, caller: Writer, body: AuthorizeRequest) -> AuthorizeAnswer:
    """Start a consent: send somebody to `authorize_url` within 15 minutes. It is an address of ours (`GET
    /v1/oauth/begin`, no key needed) that gives the browser a cookie and sends it on to the platform; the platform
    sends it back to `redirect_uri` (`GET /v1/oauth/callback/{platform}`, no key either), which takes only a browser
    that began here: another is told 400 `oauth_browser_unknown`, and nothing is connected. A program that plays the
    browser keeps the cookie between the two. Then the connection waits in state `choose_assets`, or the attempt says
    why not. The state in the URL works once."""
    started = await _parts(request).consents.start(
        caller,
        platform=body.platform,
        mode=body.mode,
        connection_id=body.connection_id,
        base=_base(request),
        external_ids=body.external_ids,
    )
    return AuthorizeAnswer.of(started)


@router.get("/oauth/attempts/{attempt_id}")
async def read_attempt(request: Request, caller: Reader, attempt_id: UUID) -> Attempt:
    """What became of a consent: waiting, connected (with the connection), refused (with the problem), expired."""
    clock: Clock = request.app.state.clock
    return Attempt.of(await _parts(request).consents.attempt(caller, attempt_id), clock())


@router.get("/oauth/begin", include_in_schema=False)
async def begin(request: Request, state: str = "") -> Response:
    """Marks the browser and sends it to the platform: what comes back is taken from this browser only, so that nobody
    is made to finish a stranger's consent."""
    try:
        url, mark = await _parts(request).consents.begin(state[:ANSWER_LENGTH_MAX])
    except VitrinError as refusal:
        if "application/json" in request.headers.get("accept", ""):
            raise
        return HTMLResponse(pages.refused(refusal, ""), status_code=refusal.status, headers=pages.HEADERS)
    sent = RedirectResponse(url, status_code=302, headers=pages.HEADERS)
    sent.set_cookie(
        mark.name,
        mark.value,
        max_age=int(ATTEMPT_LIFETIME.total_seconds()),
        path=mark.path,
        secure=mark.secure,
        httponly=True,
        samesite="lax",
    )
    return sent


@router.get("/oauth/callback/{platform}", include_in_schema=False)
async def callback(request: Request, platform: str) -> Response:
    """Where a platform sends people back to; needs no key: the state says whose consent it is, and the cookie that it
    began in this browser. A page for browsers, a problem document for programs that ask for JSON."""
    answer = {name: value[:ANSWER_LENGTH_MAX] for name, value in request.query_params.items()}
    try:
        granted = await _parts(request).consents.finish(platform, answer, request.cookies)
    except VitrinError as refusal:
        if "application/json" in request.headers.get("accept", ""):
            raise
        brand = await _parts(request).consents.brand_name(platform, answer.get("state", ""))
        return HTMLResponse(pages.refused(refusal, brand), status_code=refusal.status, headers=pages.HEADERS)
    title = KINDS[granted.connection.platform].title
    brand = await _parts(request).consents.brand_name(platform, answer.get("state", ""))
    page = HTMLResponse(pages.connected(granted, title, brand), headers=pages.HEADERS)
    for scheme in ("https://", "http://"):
        mark = browser_mark(answer.get("state", ""), scheme)
        if mark.name in request.cookies:
            page.delete_cookie(mark.name, path=mark.path, secure=mark.secure, httponly=True, samesite="lax")
    return page


@router.get("/connections/{connection_id}/assets")
async def list_assets(request: Request, caller: Writer, connection_id: UUID) -> AssetList:
    """What the consent reaches: businesses, catalogs, pixels or tags, ad accounts, pages. Asked of the platform now:
    503 `outgoing_stopped` while everything outgoing is stopped, `platform_silent` after 20 s."""
    return AssetList.of(await _parts(request).choice.reachable(caller, ConnectionId(connection_id)))


@router.post("/connections/{connection_id}:choose")
async def choose_assets(
    request: Request, caller: Writer, connection_id: UUID, body: ChooseRequest
) -> ConnectionWithToken:
    """Choose the catalog (and what else the platform has): the connection becomes active and its first sync starts."""
    row = await _parts(request).choice.choose(caller, ConnectionId(connection_id), body.model_dump())
    return await shown(request, row)


@router.post("/connections/{connection_id}:renew")
async def renew_token(request: Request, caller: Writer, connection_id: UUID) -> ConnectionWithToken:
    """Renew the token now instead of when it is due. 409 `not_by_consent`, `renewal_refused`; 503 where the platform
    does not answer."""
    parts = _parts(request)
    row = await parts.connections.get(caller, ConnectionId(connection_id))
    renewal = await parts.refresher.renew(caller.brand_id, ConnectionId(row.connection_id))
    if renewal.outcome == "gone":
        raise NotByConsent
    if renewal.outcome in ("claimed", "silent", "stopped"):
        raise RenewalUnderWay(renewal.said)
    if renewal.outcome != "renewed":
        raise RenewalRefused(renewal.said or "The platform gave no token that lives longer.")
    return await shown(request, await parts.connections.get(caller, ConnectionId(connection_id)))


@router.get("/oauth/apps")
async def list_apps(request: Request, caller: Reader) -> OwnApps:
    """The brand's own apps at platforms, without their secrets."""
    rows: Any = await _parts(request).apps.own(caller)
    return OwnApps(data=[OwnApp.of(row) for row in rows])


@router.put("/oauth/apps")
async def save_app(request: Request, caller: Writer, body: AppPut) -> OwnApp:
    """Ask for consent with the brand's own app instead of the house's. Tokens of another app are not renewed any more:
    connect again before they end."""
    row = await _parts(request).apps.save(
        caller, platform=body.platform, mode=body.mode, app_id=body.app_id, secret=secret_of(body)
    )
    return OwnApp.of(row)


@router.delete("/oauth/apps", status_code=204)
async def delete_app(request: Request, caller: Writer, platform: Platform, mode: ConnectionMode) -> None:
    """Go back to the house's app."""
    await _parts(request).apps.delete(caller, platform=platform, mode=mode)
