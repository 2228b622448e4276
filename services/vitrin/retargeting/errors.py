"""What the collector and the routes of retargeting refuse.

Refused 400          EventsRefused
Unauthenticated 401  WriteKeyMissing
Forbidden 403        OriginNotAllowed, OriginMissing, KeyInAddress
VitrinError 405      MethodWrong
VitrinError 408      BodyTooSlow
TooLarge 413         EventsTooLarge, TooManyEvents
VitrinError 415      EncodingUnknown
Malformed 422        EventsUnreadable, OriginInvalid
TooMany 429          SentTooOften
Unavailable 503      Crowded, NotInKafka
"""

from vitrin.kit.errors import (
    Forbidden,
    Malformed,
    Refused,
    TooLarge,
    TooMany,
    Unauthenticated,
    Unavailable,
    VitrinError,
)


class EventsRefused(Refused):
    code, title = "events_refused", "None of the events is taken"
    fix = "'problems' names each with its index, its code and what to do. Sending it again changes nothing."


class WriteKeyMissing(Unauthenticated):
    code, title = "key_missing", "The request carries no key"
    fix = "Send 'Authorization: Bearer pk_...' (or vk_...), '?key=pk_...', or as Segment does: the key as user of basic"
    fix += " authentication."


class OriginNotAllowed(Forbidden):
    code, title = "origin_not_allowed", "This key may not be used from pages of this origin"
    fix = "Add the origin: 'vitrin events sources --add https://shop.example', or PUT /v1/event_sources."


class OriginMissing(Forbidden):
    code, title = "origin_missing", "A publishable key is for browsers, and this request names no origin"
    fix = "From a server, use a secret key with the scope events:write."


class KeyInAddress(Forbidden):
    code, title = "secret_key_in_address", "A secret key does not belong into an address"
    fix = "Send it in the header Authorization, and replace it: addresses are written into logs."


class MethodWrong(VitrinError):
    code, status, title = "method_not_allowed", 405, "Events are posted"
    fix = "Use POST."


class BodyTooSlow(VitrinError):
    code, status, title = "body_too_slow", 408, "The body did not arrive in time"
    fix = "Send it again; event ids make sure that nothing counts twice."


class EventsTooLarge(TooLarge):
    code, title = "body_too_large", "The body is too large"
    fix = "Send the events in several requests. Nothing of it was taken."


class TooManyEvents(TooLarge):
    code, title = "too_many_events", "The batch has too many events"
    fix = "Send them in several requests. Nothing of it was taken."


class EncodingUnknown(VitrinError):
    code, status, title = "encoding_unknown", 415, "The body is compressed"
    fix = "Send it as it is, without Content-Encoding."


class EventsUnreadable(Malformed):
    code, title = "events_unreadable", "The body could not be read"
    fix = 'Send one event as a JSON object, or {"events": [...]}.'


class OriginInvalid(Malformed):
    code, title = "origin_invalid", "This is no origin"
    fix = "Write it as https://shop.example, https://*.shop.example, or null (sandboxed frames)."


class SentTooOften(TooMany):
    code, title = "rate_limited", "This key sends too often"
    fix = "Wait as long as Retry-After says, and send several events in one request."


class Crowded(Unavailable):
    code, title = "collector_crowded", "Too many requests at once"
    fix = "Send it again in a few seconds; event ids make sure that nothing counts twice."


class NotInKafka(Unavailable):
    code, title = "events_not_in_kafka", "Kafka did not confirm the events in time"
    fix = "Send them again; event ids make sure that nothing counts twice."
