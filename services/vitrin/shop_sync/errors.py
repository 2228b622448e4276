"""Errors of shop_sync's HTTP door. VitrinError <- NotFound, Conflict, Forbidden, Refused <- these."""

from vitrin.kit.errors import Conflict, Forbidden, NotFound, Refused


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
