"""Use cases of a consent: send somebody to the platform, and take what comes back.

What the platform sends back arrives without a key of ours: the state is all that says whose consent it is. It is 256
random bits, stored as a hash, works once and for fifteen minutes, and belongs to a brand and to the key that started.
Whatever becomes of the consent is kept for a day, so that who started it can read it.
"""

import hashlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from secrets import token_urlsafe
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from sqlalchemy.exc import SQLAlchemyError

from vitrin.accounts import domain, repository, repository_oauth
from vitrin.accounts.domain_oauth import (
    ATTEMPT_KEPT,
    ATTEMPT_LIFETIME,
    ATTEMPTS_OPEN_MAX,
    BEGIN,
    CALLBACK,
    CHOOSE_ASSETS,
    BrowserMark,
    browser_mark,
)
from vitrin.accounts.errors import ConnectionInvalid, ConnectionNotFound, LiveNeedsLiveKey
from vitrin.accounts.errors_oauth import (
    AGAIN,
    AssetsNotChosen,
    AttemptNotFound,
    BrowserUnknown,
    CodeMissing,
    CodeRefused,
    ConsentDenied,
    NotByConsent,
    PlatformSilent,
    ScopesMissing,
    StarterGone,
    StateExpired,
    StateUnknown,
    StateUsed,
    TooManyConsents,
)
from vitrin.accounts.kinds import KINDS, Kind, kind_of, visible_modes
from vitrin.accounts.metrics_oauth import CONSENTS
from vitrin.accounts.service_apps import Apps
from vitrin.accounts.service_grants import Granted, Grants, told
from vitrin.kit.access import Principal
from vitrin.kit.clock import Clock
from vitrin.kit.crypto import Sealed, TokenCipher
from vitrin.kit.db.database import AppDatabase
from vitrin.kit.errors import FieldError, VitrinError
from vitrin.kit.ids import BrandId, ConnectionId, KeyId, new_uuid
from vitrin.kit.logs import get_logger, mask_text
from vitrin.platforms.base import FailureKind, PlatformFailure
from vitrin.platforms.oauth import Authorization, OAuthFlow, Reach, Tokens, challenge_of, missing
from vitrin.platforms.registry import OAUTH

REFUSALS = frozenset({FailureKind.INVALID_REQUEST, FailureKind.AUTH, FailureKind.PERMISSION})
"""The platform understood and said no; every other failure is silence."""
_log = get_logger("vitrin.accounts.consents")


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    attempt: Any
    authorize_url: str
    flow: OAuthFlow


class Consents:
    def __init__(
        self,
        database: AppDatabase,
        clock: Clock,
        cipher: TokenCipher,
        *,
        apps: Apps,
        grants: Grants,
        sandbox_url: str,
    ) -> None:
        self._database = database
        self._clock = clock
        self._cipher = cipher
        self._apps = apps
        self._grants = grants
        self._sandbox_url = sandbox_url

    async def start(
        self,
        caller: Principal,
        *,
        platform: str,
        mode: str,
        connection_id: UUID | None,
        base: str,
        external_ids: Mapping[str, str] | None = None,
    ) -> Started:
        """`connection_id`: the connection that is connected again. `base`: our own address. `external_ids`: of a shop,
        which one.

        PlatformUnknown, NotByConsent, ConnectionInvalid, LiveNeedsLiveKey, OAuthNotConfigured, ConnectionNotFound,
        TooManyConsents."""
        now, kind = self._clock(), kind_of(platform)
        if mode == "live" and caller.mode == "test":
            raise LiveNeedsLiveKey
        flow = _flow_of(kind)
        ids = await self._ids(caller, kind, flow, connection_id, external_ids or {})
        app = await self._apps.asking(caller.brand_id, platform, mode)
        state, verifier = token_urlsafe(32), token_urlsafe(48) if flow.pkce else None
        attempt_id = new_uuid()
        sealed = self._cipher.seal(verifier, attempt_id.bytes) if verifier else None
        row = {
            "attempt_id": attempt_id,
            "brand_id": caller.brand_id,
            "state_hash": _hash(state),
            "platform": platform,
            "mode": mode,
            "connection_id": connection_id,
            "key_id": caller.key_id,
            "actor": caller.actor,
            "app_id": app.app_id,
            "redirect_uri": f"{base}{CALLBACK}/{platform}",
            "external_ids": ids,
            "verifier_key_id": sealed.key_id if sealed else None,
            "verifier_nonce": sealed.nonce if sealed else None,
            "verifier_ciphertext": sealed.ciphertext if sealed else None,
            "created_at": now,
            "expires_at": now + ATTEMPT_LIFETIME,
            "used_at": None,
            "outcome": "waiting",
            "problem": None,
        }
        async with self._database.write(caller.brand_id) as tx:
            await repository.lock_brand(tx, caller.brand_id)
            if connection_id is not None:
                held = await repository.connection(
                    tx, caller.brand_id, ConnectionId(connection_id), modes=visible_modes(caller)
                )
                _check_again(held, platform, mode)
            await repository_oauth.forget_attempts(tx, caller.brand_id, now - ATTEMPT_KEPT)
            if await repository_oauth.open_attempts(tx, caller.brand_id, now) >= ATTEMPTS_OPEN_MAX:
                raise TooManyConsents(
                    f"{ATTEMPTS_OPEN_MAX} consents of the brand are open.",
                    retry_after_s=int(ATTEMPT_LIFETIME.total_seconds()),
                )
            attempt = await repository_oauth.insert_attempt(tx, row)
        return Started(attempt=attempt, authorize_url=f"{base}{BEGIN}?state={state}", flow=flow)

    async def begin(self, state: str) -> tuple[str, BrowserMark]:
        """Where the platform asks for this consent, and what the browser that goes there has to bring back. May be
        called again: links are looked at by others before a person opens them. StateUnknown, StateUsed,
        StateExpired."""
        row = await self._found(None, state)
        if row.expires_at <= self._clock():
            raise StateExpired
        flow, kind, verifier = OAUTH[row.platform], KINDS[row.platform], self._verifier(row)
        wanted = Authorization(
            app_id=row.app_id,
            redirect_uri=row.redirect_uri,
            state=state,
            scopes=[scope.name for scope in flow.scopes],
            challenge=challenge_of(verifier) if verifier else None,
        )
        url = flow.authorize_url(self._dialog(kind, flow, row.mode, row.external_ids), wanted)
        return url, browser_mark(state, row.redirect_uri)

    def _dialog(self, kind: Kind, flow: OAuthFlow, mode: str, ids: Mapping[str, str]) -> str:
        """The platform's or the shop's own, or the sandbox's for it."""
        url = flow.consent_url(ids)
        if mode != "sandbox":
            return url
        if kind.shop is not None:
            return f"{kind.base_url(mode, ids, self._sandbox_url)}{urlsplit(url).path}"
        return domain.sandbox_base_url(self._sandbox_url, url) + ("/" if url.endswith("/") else "")

    async def _ids(
        self,
        caller: Principal,
        kind: Kind,
        flow: OAuthFlow,
        connection_id: UUID | None,
        given: Mapping[str, str],
    ) -> dict[str, str]:
        """What leads to the dialog: as it was given, or of the connection that is connected again."""
        if not flow.needs:
            return {}
        if connection_id is not None:
            async with self._database.read(caller.brand_id) as session:
                held = await repository.connection(
                    session, caller.brand_id, ConnectionId(connection_id), modes=visible_modes(caller)
                )
            if held is None or held.platform != kind.name:
                raise ConnectionNotFound
            return dict(held.external_ids)
        errors = kind.external_id_errors(given)
        if errors:
            raise ConnectionInvalid(errors[0].message, field=errors[0].field, errors=errors)
        return {name: value for name, value in given.items() if value}

    async def attempt(self, caller: Principal, attempt_id: UUID) -> Any:
        """The row of an attempt of the brand. AttemptNotFound."""
        async with self._database.read(caller.brand_id) as session:
            row = await repository_oauth.attempt(session, caller.brand_id, attempt_id)
        if row is None or row.mode not in visible_modes(caller):
            raise AttemptNotFound
        return row

    async def brand_name(self, platform: str, state: str) -> str:
        """For whom the consent was asked, whatever became of it; "" for a state that is none of ours."""
        async with self._database.lookup() as session:
            row = await repository_oauth.find_attempt(session, _hash(state))
        if row is None or row.platform != platform:
            return ""
        async with self._database.read(BrandId(row.brand_id)) as session:
            brand = await repository.brand(session, BrandId(row.brand_id))
        return str(brand.name) if brand is not None else ""

    async def finish(self, platform: str, answer: Mapping[str, str], cookies: Mapping[str, str]) -> Granted:
        """What the platform sent to the callback, and the browser's cookies. Raises the tree of `errors_oauth`, and
        nothing is connected then."""
        row = await self._take(platform, answer.get("state", ""), cookies)
        brand_id = BrandId(row.brand_id)
        try:
            granted = await self._granted(row, answer)
        except VitrinError as refusal:
            CONSENTS.labels(platform, refusal.code).inc()
            problem = {"code": refusal.code, "detail": refusal.detail, "fix": refusal.fix}
            await self._end(brand_id, row.attempt_id, {"outcome": "refused", "problem": problem})
            raise
        except Exception:
            # Whoever waits for the attempt must not wait for fifteen minutes.
            problem = {"code": VitrinError.code, "detail": VitrinError.title, "fix": AGAIN}
            with suppress(SQLAlchemyError):
                await self._end(brand_id, row.attempt_id, {"outcome": "refused", "problem": problem})
            raise
        CONSENTS.labels(platform, "connected").inc()
        ended = {"outcome": "connected", "connection_id": granted.connection.connection_id}
        await self._end(brand_id, row.attempt_id, ended)
        return granted

    async def _found(self, platform: str | None, state: str) -> Any:
        """The attempt of a state that was not used yet."""
        async with self._database.lookup() as session:
            row = await repository_oauth.find_attempt(session, _hash(state))
        if row is None or platform not in (None, row.platform):
            CONSENTS.labels(platform if platform in OAUTH else "unknown", StateUnknown.code).inc()
            raise StateUnknown("The state is not one of ours, or was given for another platform.")
        if row.used_at is not None:
            raise StateUsed
        return row

    async def _take(self, platform: str, state: str, cookies: Mapping[str, str]) -> Any:
        """The attempt of the state, which is used up by this. Its row is as it was before. A stranger's browser uses
        nothing up."""
        now = self._clock()
        row = await self._found(platform, state)
        if not browser_mark(state, row.redirect_uri).is_shown(cookies):
            CONSENTS.labels(platform, BrowserUnknown.code).inc()
            raise BrowserUnknown
        async with self._database.write(BrandId(row.brand_id)) as tx:
            if not await repository_oauth.use_attempt(tx, BrandId(row.brand_id), row.attempt_id, now):
                raise StateUsed
        if row.expires_at <= now:
            problem = {"code": StateExpired.code, "detail": StateExpired.title, "fix": StateExpired.fix}
            changes = {"outcome": "refused", "problem": problem}
            await self._end(BrandId(row.brand_id), row.attempt_id, changes)
            raise StateExpired
        return row

    async def _granted(self, row: Any, answer: Mapping[str, str]) -> Granted:
        flow, kind = OAUTH[row.platform], KINDS[row.platform]
        brand_id = BrandId(row.brand_id)
        await self._check_starter(row)
        if "error" in answer:
            said = mask_text(answer.get("error_description") or answer["error"])[
                : domain.LAST_ERROR_LENGTH_MAX
            ]
            raise ConsentDenied(f"{kind.title} says: {said}")
        code = answer.get("code", "")
        if not code:
            raise CodeMissing
        await self._grants.check_outgoing(brand_id, row.platform)
        app = await self._apps.that_was(brand_id, row.platform, row.mode, row.app_id)
        if app is None:
            raise CodeRefused("The app that asked is not configured any more.")
        wrong = flow.callback_problem(answer, row.external_ids, app.secret)
        if wrong is not None:
            raise CodeRefused(wrong)
        base_url = kind.base_url(row.mode, row.external_ids, self._sandbox_url)
        reach = self._grants.reach(brand_id, base_url)
        try:
            tokens = await flow.exchange(
                reach, app, code=code, redirect_uri=row.redirect_uri, verifier=self._verifier(row)
            )
            scopes = await self._scopes(flow, reach, tokens)
        except PlatformFailure as failure:
            raise refused_or_silent(failure, kind.title, app.secret, code) from failure
        _check_scopes(flow, scopes, kind.title)
        return await self._grants.keep(row, tokens=tokens, scopes=scopes, base_url=base_url)

    async def _scopes(self, flow: OAuthFlow, reach: Reach, tokens: Tokens) -> frozenset[str]:
        if tokens.scopes is not None:
            return tokens.scopes
        return await flow.granted_scopes(reach, tokens.access_token)

    async def _check_starter(self, row: Any) -> None:
        """The key that started it must still be allowed to connect."""
        now: datetime = self._clock()
        async with self._database.read(BrandId(row.brand_id)) as session:
            key = await repository.key(
                session, BrandId(row.brand_id), KeyId(row.key_id), modes=("live", "test")
            )
        gone = key is None or key.revoked_at is not None
        if gone or (key is not None and key.expires_at is not None and key.expires_at <= now):
            raise StarterGone
        if key is not None and domain.OWNER_SCOPE not in key.scopes:
            raise StarterGone("The key that started it may not connect any more.")

    def _verifier(self, row: Any) -> str | None:
        if row.verifier_key_id is None:
            return None
        sealed = Sealed(row.verifier_key_id, bytes(row.verifier_nonce), bytes(row.verifier_ciphertext))
        return self._cipher.open(sealed, row.attempt_id.bytes)

    async def _end(self, brand_id: BrandId, attempt_id: UUID, changes: dict[str, Any]) -> None:
        async with self._database.write(brand_id) as tx:
            await repository_oauth.end_attempt(tx, brand_id, attempt_id, changes)


def _flow_of(kind: Kind) -> OAuthFlow:
    """Raises NotByConsent."""
    flow = OAUTH.get(kind.name)
    if flow is None:
        raise NotByConsent(
            f"{kind.title} is not connected by consent.",
            fix="POST /v1/connections with the keys that its settings make.",
        )
    return flow


def refused_or_silent(failure: PlatformFailure, title: str, *secrets: str) -> VitrinError:
    """What a failed exchange means for the person who waits."""
    said = told(failure, *secrets)
    _log.warning("exchange_failed", kind=failure.kind.value, code=failure.code, said=said)
    if failure.kind in REFUSALS:
        return CodeRefused(f"{title} says: {said}", platform_code=failure.platform_code)
    return PlatformSilent(f"{title}: {said}")


def _check_again(held: Any | None, platform: str, mode: str) -> None:
    if held is None or (held.platform, held.mode) != (platform, mode):
        raise ConnectionNotFound(f"The brand has no {mode} connection to {platform} with this id.")
    if held.state == CHOOSE_ASSETS:
        raise AssetsNotChosen


def _check_scopes(flow: OAuthFlow, granted: frozenset[str], title: str) -> None:
    lacking = [scope for scope in missing(flow, granted) if scope.required]
    if not lacking:
        return
    errors = [
        FieldError(scope.name, "scope_missing", f"Vitrin needs it: it {scope.purpose}.", "Leave it ticked.")
        for scope in lacking
    ]
    names = ", ".join(scope.name for scope in lacking)
    raise ScopesMissing(f"{title} granted no {names}.", errors=errors)


def _hash(state: str) -> bytes:
    return hashlib.sha256(state.encode()).digest()
