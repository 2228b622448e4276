"""Why a key is refused. All of them are one 401 to a person; the code tells a program which."""

from vitrin.kit.errors import Forbidden, Unauthenticated, Unavailable


class KeyMissing(Unauthenticated):
    code, title = "key_missing", "The request carries no API key"


class KeyMalformed(Unauthenticated):
    code, title = "key_malformed", "This is not an API key of ours"
    fix = "A key looks like vk_live_<id>_<secret>. Copy it whole, as it was shown when it was created."


class KeyUnknown(Unauthenticated):
    code, title = "key_unknown", "There is no such API key"
    fix = "Create a key with 'vitrin key create', and copy it whole."


class KeyRevoked(Unauthenticated):
    code, title = "key_revoked", "The API key was revoked"
    fix = "Use another key of the brand, or create one."


class KeyExpired(Unauthenticated):
    code, title = "key_expired", "The API key has expired"
    fix = "Create a new key."


class ScopeMissing(Forbidden):
    code, title = "scope_missing", "The key may not do this"


class TestKeyOnLiveBrand(Forbidden):
    __test__ = False
    code, title = "test_key_on_live_brand", "A test key may not change a brand that has a live connection"
    fix = "Use a live key, or a brand of its own for tests."


class AccessUnavailable(Unavailable):
    code, title = "access_unavailable", "Keys cannot be checked at the moment"
