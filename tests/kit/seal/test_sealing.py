"""What is sealed opens with its brand, context and key, and tells nothing otherwise."""

import base64
from uuid import UUID

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from vitrin.kit.seal import Fields, Person, SealCannotOpen, SpoolSeal, ToSeal, pack, unpack
from vitrin.kit.seal.sealing import PLAIN_BYTES_MAX, STEP_BYTES, open_, seal
from vitrin.protos.kit.v1.seal_pb2 import Sealed

KEY, OTHER_KEY = AESGCM(b"k" * 32), AESGCM(b"o" * 32)
BRAND, OTHER_BRAND = UUID(int=1), UUID(int=2)
KEY_ID = "8a8e0bd8-4f4c-4d27-8b2c-2f2f7f0a3a11"
FIELDS = st.dictionaries(st.text(max_size=20), st.text(max_size=200), max_size=8)
RING = "s1:" + base64.b64encode(b"s" * 32).decode()


@given(fields=FIELDS, context=st.text(max_size=60))
def test_what_was_sealed_opens(fields: dict[str, str], context: str) -> None:
    sealed = seal(KEY, KEY_ID, BRAND, fields, context)
    assert dict(open_(KEY, unpack(pack(sealed)), BRAND, context)) == fields


@given(fields=FIELDS, context=st.text(max_size=60), other=st.text(max_size=60))
def test_it_opens_nowhere_else(fields: dict[str, str], context: str, other: str) -> None:
    sealed = seal(KEY, KEY_ID, BRAND, fields, context)
    renamed = Sealed(key_id=KEY_ID[:-1] + "2", nonce=sealed.nonce, ciphertext=sealed.ciphertext)
    tries = [
        (OTHER_KEY, sealed, BRAND, context),
        (KEY, sealed, OTHER_BRAND, context),
        (KEY, renamed, BRAND, context),
    ]
    if other != context:
        tries.append((KEY, sealed, BRAND, other))
    for key, value, brand, where in tries:
        with pytest.raises(SealCannotOpen):
            open_(key, value, brand, where)


@given(fields=FIELDS, data=st.data())
def test_a_changed_byte_is_noticed(fields: dict[str, str], data: st.DataObject) -> None:
    sealed = seal(KEY, KEY_ID, BRAND, fields, "topic")
    whole = bytearray(sealed.nonce + sealed.ciphertext)
    whole[data.draw(st.integers(0, len(whole) - 1))] ^= data.draw(st.integers(1, 255))
    changed = Sealed(key_id=KEY_ID, nonce=bytes(whole[:12]), ciphertext=bytes(whole[12:]))
    with pytest.raises(SealCannotOpen):
        open_(KEY, changed, BRAND, "topic")
    cut = data.draw(st.integers(0, len(sealed.ciphertext) - 1))
    with pytest.raises(SealCannotOpen):
        open_(
            KEY, Sealed(key_id=KEY_ID, nonce=sealed.nonce, ciphertext=sealed.ciphertext[:cut]), BRAND, "topic"
        )


@given(st.text(max_size=100), st.text(max_size=100))
def test_neither_length_nor_repr_tell_the_text(first: str, second: str) -> None:
    sealed = seal(KEY, KEY_ID, BRAND, {"e": first, "f": second}, "topic")
    assert (len(sealed.ciphertext) - 16) % STEP_BYTES == 0
    assert repr(Fields({"email": first})) == "Fields(email)"
    assert repr(ToSeal(Person(first), {"email": second})) == "ToSeal(whose=Person(), happened_at=None)"


def test_two_seals_of_the_same_differ() -> None:
    first, second = (seal(KEY, KEY_ID, BRAND, {"email": "a@example.com"}, "topic") for _ in range(2))
    assert first.nonce != second.nonce
    assert first.ciphertext != second.ciphertext
    assert b"example" not in first.ciphertext


def test_too_much_is_refused_and_rubbish_is_nothing_sealed() -> None:
    with pytest.raises(ValueError, match="262,144 can be sealed"):
        seal(KEY, KEY_ID, BRAND, {"note": "x" * PLAIN_BYTES_MAX}, "topic")
    with pytest.raises(SealCannotOpen):
        unpack(b"\xff\xff\xff")


@given(record=st.binary(max_size=500), cut=st.integers(0, 40))
def test_a_record_of_a_spool_opens_in_its_spool_only(record: bytes, cut: int) -> None:
    spool = SpoolSeal.parse(RING)
    sealed = spool.seal(record, context="catalog webhooks")
    assert spool.open(sealed, context="catalog webhooks") == record
    rotated = SpoolSeal.parse(f"s2:{base64.b64encode(b't' * 32).decode()},{RING}")
    assert rotated.open(sealed, context="catalog webhooks") == record
    with pytest.raises(SealCannotOpen):
        spool.open(sealed, context="collector")
    with pytest.raises(SealCannotOpen):
        spool.open(sealed[: min(cut, len(sealed) - 1)], context="catalog webhooks")
    with pytest.raises(SealCannotOpen, match="'s2' is not in the ring"):
        spool.open(rotated.seal(record, context="catalog webhooks"), context="catalog webhooks")
    assert repr(spool) == "SpoolSeal(TokenCipher(keys=['s1'], current='s1'))"
