"""The published and computed vectors of every platform's rule, written out; and the shared list, where it is there."""

import json
import os
from pathlib import Path

import pytest

from vitrin.platforms.personal.model import Field
from vitrin.platforms.personal.rules import DIALECTS

SPECS = Path(
    os.environ.get("VITRIN_SPECS") or Path(__file__).resolve().parents[3].parent / "shared" / "specs"
)
WORDS = {"tiktok": "tiktok", "snapchat": "snapchat", "x": "x", "google": "google", "meta": "meta_events"}
FIELDS = {
    "email": Field.EMAIL,
    "em": Field.EMAIL,
    "email-gmail": Field.EMAIL,
    "email-other": Field.EMAIL,
    "email-common": Field.EMAIL,
    "phone": Field.PHONE,
    "ph": Field.PHONE,
    "external_id": Field.EXTERNAL_ID,
    "fn": Field.FIRST_NAME,
    "handle": Field.HANDLE,
    "country": Field.COUNTRY,
    "zp": Field.POSTAL_CODE,
    "ct": Field.CITY,
}

# Platform, field, what a shop has, what is hashed, its SHA-256.
VECTORS = [
    (
        *("tiktok", "email", "Alice_ABC@gmail.com", "alice_abc@gmail.com"),
        "848a771458438fc2ec420560d769fb9b9b86851ee338ec56517baabd79d3bb4f",
    ),
    (
        *("tiktok", "phone", "+12133734253", "+12133734253"),
        "9f7ec22d72092cd3c0b58726ed9c2d91b92e51a3f29837508fb2948bb22dd2fd",
    ),
    (
        *("tiktok", "external_id", "user_123", "user_123"),
        "80fba0ae1c48e3978e43e4efc365e14e12ea0c830ba8ba5b9a2dafc7e3f2ab8b",
    ),
    (
        *("snapchat", "em", "person@example.com", "person@example.com"),
        "542d240129883c019e106e3b1b2d3f3cb3537c43c425364de8e951d5a3083345",
    ),
    (
        *("snapchat", "ph", "00448444124653", "448444124653"),
        "dc008fda46e2e64002cf2f82a4906236282d431c4f75e5b60bfe79fc48546383",
    ),
    (
        *("snapchat", "fn", "John", "john"),
        "96d9632f363564cc3032521409cf22a852f2032eec099ed5967c0d000cec607a",
    ),
    (
        *("snapchat", "fn", "Raphaël", "raphaël"),
        "e74bb89e718fe1e19c422a48382870399f8bf7ca8dfa008739e75b0be76627b7",
    ),
    (
        *("x", "phone", "+11234567890", "+11234567890"),
        "1fa6b8d986d9b9cd01bf36951815158bbde9f520c0567c835dfe34783d0a4231",
    ),
    (
        *("x", "handle", "@AdsAPI", "adsapi"),
        "49e0be2aeccfb51a8dee4c945c8a70a9ac500cf6f5cb08112575f74db9b1470d",
    ),
    (
        *("x", "email", "test@twitter.com", "test@twitter.com"),
        "d360d510a224510f373931ce2d6215a799f5a9c1cef221b0149b6b6b50cced62",
    ),
    (
        *("google", "email-gmail", " Jane.Doe+Shop@GMail.com ", "janedoe@gmail.com"),
        "d6117306485ed0e50afab3ac871e98f81699151f30281527d63ff5f233656c69",
    ),
    (
        *("google", "email-other", " Jane.Doe+Shop@Example.com ", "jane.doe+shop@example.com"),
        "bb55843f3da2af28071cd4be7ae1e05989dc6d3ea4833906f7d8fe4be35afad8",
    ),
    (
        *("google", "phone", "+1 (800) 555-0100", "+18005550100"),
        "fb4f73a6ec5fdb7077d564cdd22c3554b43ce49168550c3b12c547b78c517b30",
    ),
    (
        *("meta", "ph", "+1 (800) 555-0100", "18005550100"),
        "92cfdc5fbcd4a20fbe5d3857af6c1aba31762105bba7f21a17155e920653046c",
    ),
    (
        *("meta", "country", "US", "us"),
        "79adb2a2fce5c6ba215fe5f27f532d4e7edbac4b6a5e09e1ef3a08084a904621",
    ),
    (
        *("meta", "zp", " 94035-1234", "94035"),
        "1794327a4d443904421f5ca1f3d72d0a62ba2f0770d80755ec2220fc0efb052e",
    ),
    (
        *("meta", "ct", "New York", "newyork"),
        "350c754ba4d38897693aa077ef43072a859d23f613443133fecbbd90a3512ca5",
    ),
]
COMMON = (
    *("  Jane.Doe+X@Example.com ", "jane.doe+x@example.com"),
    "0b6542ea781224b9278a8e16ad86dace01d0e50a68d4c28ceffa991fb474861f",
)


@pytest.mark.parametrize(("platform", "name", "raw", "normal", "digest"), VECTORS)
def test_a_vector(platform: str, name: str, raw: str, normal: str, digest: str) -> None:
    dialect, field = DIALECTS[WORDS[platform]], FIELDS[name]
    assert dialect.normalise(field, raw) == normal
    assert field in dialect.hashed
    assert dialect.digest(field, raw) == digest
    assert dialect.digest(field, digest.upper()) == digest
    assert dialect.digests(field, [raw, digest, raw]) == [digest] * 3


@pytest.mark.parametrize(
    "name", ["meta_events", "meta_audience", "tiktok", "pinterest", "snapchat", "x", "linkedin"]
)
def test_the_common_email_vector(name: str) -> None:
    raw, normal, digest = COMMON
    assert DIALECTS[name].normalise(Field.EMAIL, raw) == normal
    assert DIALECTS[name].digest(Field.EMAIL, raw) == digest


def test_the_shared_list_is_the_one_above() -> None:
    path = SPECS / "pii_rules.json"
    if not path.is_file():
        pytest.skip(f"the shared list {path} is missing: this test proves nothing here")
    listed = [
        (one["platform"], one["field"], one["raw"], one["normalised"], one["sha256"])
        for one in json.loads(path.read_text(encoding="utf-8"))["vectors"]
    ]
    assert listed == [*VECTORS[:10], ("derived", "email-common", *COMMON), *VECTORS[10:]]
    assert len(listed) == 18
