"""What the door of webhooks refuses, and what the routes of shops do.

Refused 400          HeadWrong
Unauthenticated 401  SignatureWrong, OfAnotherShop
NotFound 404         ConnectionUnknown, ShopUnknown, DeliveryUnknown
VitrinError 405      MethodWrong
VitrinError 408      BodyTooSlow
Conflict 409         LoadRuns, ShopClosed, DeliveryDone
TooLarge 413         WebhookTooLarge
Unavailable 503      Crowded, UnverifiedFull
"""

from vitrin.kit.errors import (
    Conflict,
    NotFound,
    Refused,
    TooLarge,
    Unauthenticated,
    Unavailable,
    VitrinError,
)


class HeadWrong(Refused):
    code, title = "webhook_head_wrong", "These are not the headers of a webhook"
    fix = "Only the shop's own webhooks are taken here."


class SignatureWrong(Unauthenticated):
    code, title = "webhook_signature_wrong", "The webhook is not signed with a secret of this shop"
    fix = "Sign the raw body with the secret that the connection has; if the app's secret changed, connect again."


class OfAnotherShop(Unauthenticated):
    code, title = "webhook_of_another_shop", "The webhook is about another shop, or names none"
    fix = "Each shop's webhooks go to the address of its own connection, an app's only with a body that names the shop."


class ConnectionUnknown(NotFound):
    code, title = "webhook_connection_unknown", "No shop is connected here"
    fix = "Remove this webhook at the shop; a connected shop gets its own."


class MethodWrong(VitrinError):
    code, status, title = "method_not_allowed", 405, "Webhooks are posted"
    fix = "Use POST."


class BodyTooSlow(VitrinError):
    code, status, title = "webhook_too_slow", 408, "The body did not arrive in time"
    fix = "Send it again."


class WebhookTooLarge(TooLarge):
    code, title = "webhook_too_large", "The webhook is too large"
    fix = "Nothing of it was taken; the next reconcile reads it at the shop."


class Crowded(Unavailable):
    code, title = "webhooks_crowded", "Too many webhooks arrive at once"
    fix = "Send it again in a few seconds."


class UnverifiedFull(Unavailable):
    code, title = (
        "webhooks_unverified_full",
        "The secrets of the shops are not known yet, and enough waits for them",
    )
    fix = "Send it again in a minute."


class ShopUnknown(NotFound):
    code, title = "shop_unknown", "There is no shop with this connection"
    fix = "GET /v1/shops lists them; a connection made a moment ago appears within seconds."


class DeliveryUnknown(NotFound):
    code, title = "shop_delivery_unknown", "There is no such delivery of this shop"
    fix = "GET /v1/shops/{connection_id}/deliveries lists those of the last 30 days."


class DeliveryDone(Conflict):
    code, title = "shop_delivery_not_replayable", "The delivery cannot be applied again"
    fix = "Only failed, dead and waiting ones whose body is still there can be; a load of the shop reads all anew."


class ShopClosed(Conflict):
    code, title = "shop_closed", "The shop is not connected any more"
    fix = "Connect it again."
