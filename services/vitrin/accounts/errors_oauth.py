"""Refusals of connecting by consent. Every one says what to do."""

from vitrin.kit.errors import Conflict, NotFound, Refused, TooMany, Unavailable

AGAIN = "Start again: vitrin connect, or POST /v1/connections:authorize."


class OAuthNotConfigured(Refused):
    code, title = "oauth_not_configured", "There is no app to ask for consent with"
    fix = "Give the brand's own app with PUT /v1/oauth/apps, or set ACCOUNTS_OAUTH_APPS for the house's."


class TooManyConsents(TooMany):
    code, title = "too_many_consents", "Too many consents of this brand are under way"
    fix = "Finish one of them, or wait until they expire."


class StateUnknown(Refused):
    code, title = "oauth_state_unknown", "This consent was not started here"
    fix = AGAIN


class StateExpired(Refused):
    code, title = "oauth_state_expired", "This consent took too long"
    fix = AGAIN


class StateUsed(Conflict):
    code, title = "oauth_state_used", "This consent was finished before"
    fix = "See its outcome with GET /v1/oauth/attempts/{id}, or start again."


class BrowserUnknown(Refused):
    code, title = "oauth_browser_unknown", "This consent did not begin in this browser"
    fix = (
        "Nothing was connected. Open the authorize_url that Vitrin gave in the browser that consents; never one that"
        " somebody else sent you."
    )


class StarterGone(Refused):
    code, title = "oauth_key_gone", "The key that started this consent may not connect any more"
    fix = "Start again with a key that is valid and has the scope accounts:write."


class ConsentDenied(Refused):
    code, title = "consent_denied", "The consent was denied on the platform"
    fix = "Nothing was connected. Start again and approve, if that was not meant."


class CodeMissing(Refused):
    code, title = "code_missing", "The platform sent no code"
    fix = AGAIN


class CodeRefused(Refused):
    code, title = "code_refused", "The platform does not take this code"
    fix = (
        "A code works once, within ten minutes, for the consent it was given to. Start again; if it repeats, check the "
        "app's id, secret and redirect address."
    )


class ScopesMissing(Refused):
    code, title = "scopes_missing", "Permissions that a connection needs were not granted"
    fix = "Start again and leave these permissions ticked."


class OtherAccount(Conflict):
    code, title = "other_account", "This account cannot reach the catalog of the connection"
    fix = "Start again and consent with the account that the connection was made with, or connect the catalog anew."


class PlatformSilent(Unavailable):
    code, title = "platform_silent", "The platform did not answer"
    fix = "Nothing was connected. Start again in a while."


class OutgoingStopped(Unavailable):
    code, title = "outgoing_stopped", "Everything outgoing is stopped, so no platform is asked"
    fix = "Start again once it is resumed: see GET /v1/outgoing."


class AttemptNotFound(NotFound):
    code, title = "attempt_not_found", "There is no such consent"
    fix = "Outcomes are kept for a day."


class AppNotFound(NotFound):
    code, title = "oauth_app_not_found", "The brand has no app of its own there"


class AssetsNotChosen(Conflict):
    code, title = "assets_not_chosen", "The connection has no catalog yet"
    fix = "GET /v1/connections/{id}/assets, then POST /v1/connections/{id}:choose."


class AssetsChosen(Conflict):
    code, title = "assets_chosen", "The connection has its catalog already"
    fix = "For another catalog connect again: one connection feeds one catalog."


class AssetsUnreadable(Conflict):
    code, title = "assets_unreadable", "The platform does not show what this connection can reach"
    fix = AGAIN


class NotByConsent(Conflict):
    code, title = "not_by_consent", "The token of this connection was given by hand"
    fix = "PATCH /v1/connections/{id} with a new access_token, or connect by consent."


class RenewalRefused(Conflict):
    code, title = "renewal_refused", "The platform gives no new token without a person"
    fix = "Connect again: vitrin connect <platform> --connection <id>."


class RenewalUnderWay(Unavailable):
    code, title = "renewal_under_way", "The token is being renewed"
    fix = "Try again in a few seconds."
