"""Refusals of accounts."""

from vitrin.kit.errors import Conflict, Forbidden, NotFound, Refused, Unauthenticated


class BrandInvalid(Refused):
    code, title = "brand_invalid", "The brand cannot be saved like this"
    fix = "Correct the fields named in 'errors'."


class SlugTaken(Conflict):
    code, title = "slug_taken", "Another brand has this slug"
    fix = "Choose another slug."


class BootstrapDone(Forbidden):
    code, title = "bootstrap_done", "The first brand of this server has been made"
    fix = (
        "Make further brands with the operator token, and take ACCOUNTS_BOOTSTRAP_TOKEN out of the settings."
    )


class BrandNotFound(NotFound):
    code, title = "brand_not_found", "There is no such brand"


class KeyNotFound(NotFound):
    code, title = "key_not_found", "There is no such key"


class KeyInvalid(Refused):
    code, title = "key_invalid", "The key cannot be created like this"
    fix = "Correct the fields named in 'errors'."


class KeyTooPowerful(Forbidden):
    code, title = "key_too_powerful", "A key cannot create a key with more power than its own"
    fix = "Use a key with at least the power of the new one."


class KeyOfAnother(Forbidden):
    code, title = "key_of_another_person", "This is the own key of another person"
    fix = "The person rotates it, with that key; an owner can revoke it."


class OrganisationNotFound(NotFound):
    code, title = "organisation_not_found", "There is no such organisation"
    fix = "Leave 'organisation_id' out for a new one."


class MemberNotFound(NotFound):
    code, title = "member_not_found", "There is no such member"


class MemberExists(Conflict):
    code, title = "member_exists", "The person is a member already"
    fix = "Change the role with PATCH /v1/members/{id}, or remove the member first."


class LiveKeyNeeded(Forbidden):
    code, title = "live_key_needed", "A test key cannot manage people"
    fix = "Use a live key."


class InvitationNotFound(NotFound):
    code, title = "invitation_not_found", "There is no such invitation"


class InvitationInvalid(Unauthenticated):
    code, title = "invitation_invalid", "This is no invitation of ours"
    fix = "Copy the token whole, as it was shown when the invitation was made."


class InvitationEnded(Conflict):
    code, title = (
        "invitation_ended",
        "The invitation was accepted, withdrawn, has expired or lost its inviter",
    )
    fix = "Ask for a new one."


class KeyNotActive(Conflict):
    code, title = "key_not_active", "The key has ended already"
    fix = "Create a new key."


class KeyRotated(Conflict):
    code, title = "key_rotated", "The key was rotated already"
    fix = "Rotate the key that replaced it, named in 'rotated_to'."


class ConnectionNotFound(NotFound):
    code, title = "connection_not_found", "There is no such connection"


class PlatformUnknown(Refused):
    code, title = "platform_unknown", "There is no such platform"


class ConnectionInvalid(Refused):
    code, title = "connection_invalid", "The connection cannot be saved like this"
    fix = "Correct the fields named in 'errors'."


class LiveNeedsLiveKey(Forbidden):
    code, title = "live_needs_live_key", "A test key cannot make a live connection"
    fix = "Use a live key, or mode 'sandbox'."


class LastOwnerKey(Conflict):
    code, title = "last_owner_key", "Without this key nobody could manage the brand any more"
    fix = "Create another secret key with the role 'owner' in the same mode first, then revoke this one with it."


class CatalogInUse(Conflict):
    code, title = "catalog_in_use", "Another brand feeds this catalog"
    fix = (
        "Connect a catalog of this brand's own (on the sandbox: --new-account). If the catalog is this brand's, the "
        "other brand's connection has to be deleted first."
    )


class AlreadyConnected(Conflict):
    code, title = "already_connected", "This catalog is connected already"
    fix = "Change the connection that is there with PATCH, or delete it first."


class TokenExpired(Conflict):
    code, title = "token_expired", "The access token has expired"
    fix = (
        "Connect the platform again: vitrin connect <platform> --connection <id>, or PATCH /v1/connections/{id} with a "
        "new access_token."
    )


class TokenExpiresSoon(TokenExpired):
    code, title = "token_expires_soon", "The access token does not live as long as was asked for"


class ConnectionRefused(Conflict):
    code, title = "connection_refused", "The platform has refused this connection"
    fix = (
        "See last_error, then connect again: vitrin connect <platform> --connection <id>, or PATCH "
        "/v1/connections/{id} with a new access_token."
    )


class StateUnknown(Refused):
    code, title = "state_unknown", "There is no such state"


class OutgoingInvalid(Refused):
    code, title = "outgoing_invalid", "There is no such switch"
    fix = "Leave 'platform' out for the whole brand, or name a platform that Vitrin knows."
