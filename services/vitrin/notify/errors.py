"""Errors of notify that reach a client."""

from vitrin.kit.errors import Conflict, NotFound, Refused


class EndpointNotFound(NotFound):
    code, title = "webhook_endpoint_not_found", "There is no such webhook endpoint"
    fix = "List them with GET /v1/webhook_endpoints."


class EventNotFound(NotFound):
    code, title = "webhook_event_not_found", "There is no such webhook event"
    fix = "List them with GET /v1/webhook_events; they are kept for 30 days."


class EndpointInvalid(Refused):
    code, title = "webhook_endpoint_invalid", "The webhook endpoint cannot be used like this"


class TypeUnknown(Refused):
    code, title = "webhook_type_unknown", "There is no such type of webhook event"


class EndpointsTooMany(Conflict):
    code, title = "webhook_endpoints_too_many", "The brand has as many webhook endpoints as it may have"
    fix = "Delete one that is not used any more."


class SecretsTooMany(Conflict):
    code, title = "webhook_secrets_too_many", "The endpoint has as many valid secrets as it may have"
    fix = 'Wait until an earlier one expires, or rotate with "overlap_h": 0, which ends all earlier ones at once.'


class EndpointDisabled(Conflict):
    code, title = "webhook_endpoint_disabled", "The webhook endpoint is disabled"
    fix = 'Enable it with PATCH /v1/webhook_endpoints/{id} {"enabled": true}, then try again.'


class NobodyToTell(Conflict):
    code, title = "webhook_nobody_to_tell", "No enabled endpoint takes this type"
    fix = "Create an endpoint, enable one, or add the type to its 'event_types'."
