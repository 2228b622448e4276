"""Errors of shop_sync's HTTP door. VitrinError <- NotFound, Conflict, Forbidden, Refused, TooMany <- these."""

from vitrin.kit.errors import Conflict, Forbidden, NotFound, Refused, TooMany


class ChannelNotFound(NotFound):
    code, title = "channel_not_found", "There is no such channel"
    fix = "List the channels with GET /v1/channels."


class ItemNotFound(NotFound):
    code, title = "item_not_found", "There is no such item"
    fix = "Use the item's id or SKU as the catalog has it; a new item takes a second to arrive here."


class SkuAmbiguous(Conflict):
    code, title = "sku_ambiguous", "Several items have this SKU"
    fix = "Ask with one of the ids in 'item_ids'."


class IdTemplateFrozen(Conflict):
    code, title = "id_template_frozen", "The id template cannot change any more"
    fix = "Delete the connection and connect again with the template that you want."


class IdTemplateUnknown(Refused):
    code, title = "id_template_unknown", "There is no such id template"
    fix = "Choose {id} or {sku}."


class ChannelClosed(Conflict):
    code, title = "channel_closed", "The channel's connection was deleted"
    fix = "Connect the platform again: that opens a new channel."


class RemovalNotFound(NotFound):
    code, title = "removal_not_found", "There is no such removal request"
    fix = "List them with GET /v1/removals; they are kept for 90 days after their end."


class RemovalDecided(Conflict):
    code, title = "removal_decided", "The request needs no decision any more"
    fix = "Look at it with GET /v1/removals/{id}; what leaves next makes a new request."


class ApprovalNeedsOtherPerson(Forbidden):
    code, title = "approval_needs_other_person", "Whoever caused a removal may not approve it"
    fix = "Ask somebody else with the scope 'sync:approve', or reject it. The brand's setting asks for this."


class RemovalGrown(Conflict):
    code, title = "removal_grown", "More items wait than you looked at"
    fix = "Look at the request again, then decide with the new number or without 'items_max'."


class PlatformCannotList(Refused):
    code, title = "platform_cannot_list", "The platform does not list the items of a catalog"
    fix = "Items there are updated where the id template makes their ids; look at the others on the platform's pages."


class AdoptionBusy(Conflict):
    code, title = "adoption_busy", "The catalog is being listed or matched"
    fix = "Look at GET /v1/channels/{id}/adoption and ask again when its state is 'done'."


class AdoptionItemsUnknown(Refused):
    code, title = "adoption_items_unknown", "Some of these items cannot be decided"
    fix = "List them with GET /v1/channels/{id}/adoption/items: strangers, ambiguous and left ones can be."


class AdoptionItemSent(Conflict):
    code, title = "adoption_item_sent", "The item goes by another id on the channel already"
    fix = "It keeps the id that it was sent with: ask for the removal of the platform's item instead."


class AdoptionNothingToRemove(Refused):
    code, title = "adoption_nothing_to_remove", "None of these items is a stranger"
    fix = "List them with GET /v1/channels/{id}/adoption/items?state=stranger."


class AdoptionRemovalOpen(Conflict):
    code, title = "adoption_removal_open", "A removal of strangers waits for its approval already"
    fix = "Approve or reject the request in 'request_id', then ask again."


class CheckoutNotFound(NotFound):
    code, title = "checkout_not_found", "This channel hands no carts over"
    fix = "Set it up with PUT /v1/channels/{id}/checkout."


class ShopUnknown(Refused):
    code, title = "shop_unknown", "There is no such shop"
    fix = (
        "Connect the shop first (POST /v1/connections with platform shopify or woocommerce), and name its id."
    )


class StorefrontInvalid(Refused):
    code, title = "storefront_invalid", "Carts cannot go on there"
    fix = "Give the shop's own https address, such as https://shop.example."


class CheckoutCrowded(TooMany):
    code, title = "checkout_crowded", "Too many carts of this channel at once"
    fix = "Wait a second."
