"""Errors of notify that reach a client."""

from vitrin.kit.errors import Conflict, NotFound, Refused, TooMany


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


class NotificationNotFound(NotFound):
    code, title = "notification_not_found", "There is no such notification"
    fix = "List them with GET /v1/notifications; what is over is kept for 90 days."


class ChannelNotFound(NotFound):
    code, title = "notification_channel_not_found", "There is no such channel of notifications"
    fix = "List them with GET /v1/notification_channels."


class ChannelInvalid(Refused):
    code, title = "notification_channel_invalid", "The channel of notifications cannot be used like this"


class MailNotConfigured(Conflict):
    code, title = "smtp_not_configured", "This server sends no e-mail"
    fix = (
        "Ask the operators to set NOTIFY_SMTP_HOST and NOTIFY_SMTP_FROM, or add a channel of the type slack."
    )


class ChannelsTooMany(Conflict):
    code, title = (
        "notification_channels_too_many",
        "The brand has as many channels of notifications as it may have",
    )
    fix = "Delete one that is not used any more."


class CodeWrong(Refused):
    code, title = "confirmation_code_wrong", "This is not the code that was sent"


class CodeExpired(Conflict):
    code, title = "confirmation_code_expired", "The code is not good any more"
    fix = "Ask for a new one with POST /v1/notification_channels/{id}:send_code."


class CodeTooSoon(Conflict):
    code, title = "confirmation_code_too_soon", "A code was sent a moment ago"
    fix = "Look into the mailbox, its spam folder too; after a minute another can be sent."


class AlreadyConfirmed(Conflict):
    code, title = "notification_channel_confirmed", "The channel is confirmed already"
    fix = "Nothing to do; POST /v1/notification_channels/{id}:test shows that it works."


class NotConfirmed(Conflict):
    code, title = "notification_channel_not_confirmed", "Nobody has confirmed the address of the channel"
    fix = "POST /v1/notification_channels/{id}:confirm with the code that was sent to it."


class MessagesTooMany(TooMany):
    code, title = (
        "notification_messages_too_many",
        "The brand has sent as many messages as it may within an hour",
    )
    fix = "Wait; notifications that are due go out together then, none is lost."
