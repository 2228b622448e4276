"""Refusals of the keys of personal data."""

from vitrin.kit.errors import Malformed, Refused


class TooManyAsked(Refused):
    code, title = "seal_too_many", "Too many keys in one call"


class DayGetsNoKey(Refused):
    code, title = "seal_day_over", "This day gets no key any more"
    fix = "Seal under the key of today. Was the clock of the caller set wrong?"


class SubjectInvalid(Malformed):
    code, title = "seal_subject_invalid", "This names no person"
