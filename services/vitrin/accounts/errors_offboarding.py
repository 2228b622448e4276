"""Refusals of brands that leave."""

from vitrin.kit.errors import Conflict, Forbidden, NotFound, Refused


class OffboardingUnconfirmed(Refused):
    code, title = "offboarding_unconfirmed", "This would end the brand, and it was not confirmed"
    fix = "Send the brand's slug as 'confirm'."


class OffboardingNotFound(NotFound):
    code, title = "offboarding_not_found", "The brand does not leave"


class OffboardingCarriedOut(Conflict):
    code, title = "offboarding_carried_out", "The brand has left already"
    fix = "Nothing can be brought back: the keys of its data are destroyed."


class OffboardingNeedsOtherPerson(Forbidden):
    code, title = "offboarding_needs_other_person", "Another person has to ask for it too"
    fix = (
        "Somebody else with an owner key, not made by you, sends the same. The brand's setting asks for this."
    )
