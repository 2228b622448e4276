"""Which addresses a brand may give: by their text, and by what their names led to."""

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vitrin.kit.outbound import (
    AddressNotPublic,
    OutboundPolicy,
    OutboundSettings,
    UrlRefused,
    check_url,
    shown,
)
from vitrin.kit.outbound.addresses import address_in, is_public
from vitrin.kit.outbound.policy import host_of
from vitrin.kit.settings import SettingsInvalid, load

STRICT = OutboundPolicy()


@pytest.mark.parametrize(
    "text",
    [
        "0.0.0.0", "10.1.2.3", "100.64.0.1", "100.127.255.255", "127.0.0.1", "127.255.0.9", "169.254.169.254",
        "172.16.0.1", "172.31.255.255", "192.0.0.8", "192.0.2.1", "192.88.99.1", "192.168.1.1", "198.18.0.1",
        "198.19.255.255", "198.51.100.7", "203.0.113.7", "224.0.0.1", "239.1.1.1", "240.0.0.1", "255.255.255.255",
        "::", "::1", "::ffff:8.8.8.8", "::ffff:127.0.0.1", "::8.8.8.8", "64:ff9b::10.0.0.1", "64:ff9b::7f00:1",
        "64:ff9b:1::1", "100::1", "2001::1", "2001:0:4136:e378:8000:63bf:3fff:fdd2", "2001:db8::1",
        "2002:7f00:1::1", "2002:808:808::1", "3fff::1", "5f00::1", "fc00::1", "fd12::1", "fe80::1", "fe80::1%lo",
        "fec0::1", "ff02::1",
    ],
)  # fmt: skip
def test_addresses_that_are_not_public(text: str) -> None:
    assert not is_public(ip_address(text))


@pytest.mark.parametrize(
    "text",
    ["1.1.1.1", "8.8.8.8", "100.63.255.255", "100.128.0.0", "172.15.0.1", "172.32.0.1", "192.0.1.1", "223.255.255.255",
     "2606:4700:4700::1111", "2a00:1450:4001::1", "2001:4860:4860::8888", "64:ff9b::8.8.8.8"],
)  # fmt: skip
def test_addresses_that_are_public(text: str) -> None:
    assert is_public(ip_address(text))


@given(st.ip_addresses())
def test_nothing_is_public_that_the_standard_library_calls_private(address: object) -> None:
    found = ip_address(str(address))
    if is_public(found) and not str(found).startswith("64:ff9b::"):
        assert not found.is_private
        assert not found.is_link_local
        assert not found.is_multicast
        assert not found.is_reserved


@pytest.mark.parametrize(
    ("text", "whole"),
    [
        ("https://shop.example/feed.csv?sig=a%20b#part", "https://shop.example/feed.csv?sig=a%20b"),
        ("HTTPS://Shop.Example:443/Feed", "https://shop.example/Feed"),
        ("https://b\u00fccher.example/", "https://xn--bcher-kva.example/"),
        ("https://8.8.8.8:8443/x", "https://8.8.8.8:8443/x"),
        ("https://[2606:4700:4700::1111]/", "https://[2606:4700:4700::1111]/"),
    ],
)
def test_a_good_address_is_normalised(text: str, whole: str) -> None:
    assert str(check_url(text, STRICT)) == whole


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "scheme"),
        ("feed.csv", "scheme"),
        ("//shop.example/feed", "scheme"),
        ("ftp://shop.example/feed", "scheme"),
        ("file:///etc/passwd", "scheme"),
        ("gopher://shop.example:70/", "scheme"),
        ("https://", "scheme"),
        ("https:///feed", "scheme"),
        ("http://shop.example/", "not_https"),
        ("https://user:hush@shop.example/", "credentials"),
        ("https://user@shop.example/", "credentials"),
        ("https://@shop.example/", "credentials"),
        ("https://shop.example:25/", "port"),
        ("https://shop.example:0/", "port"),
        ("https://shop.example:99999/", "form"),
        ("https://shop.example:port/", "form"),
        ("https://user:hush@shop.example:port/", "credentials"),
        ("https:user:hush@shop.example/", "credentials"),
        ("https://[::1/", "form"),
        ("https://-.example../", "form"),
        ("https://XN--0.0/", "form"),
        ("https://shop.example/a b", "characters"),
        ("https://shop.example\r\nhost: evil/", "characters"),
        ("https://shop.example\\@10.0.0.1/", "characters"),
        ("https://shop.example/" + "x" * 2_100, "too_long"),
    ],
)
def test_addresses_that_are_refused_by_their_text(text: str, reason: str) -> None:
    with pytest.raises(UrlRefused) as refused:
        check_url(text, STRICT)
    assert refused.value.extra["reason"] == reason
    assert refused.value.fix
    assert "hush" not in refused.value.detail


@pytest.mark.parametrize(
    "text",
    [
        "https://127.0.0.1/", "https://10.0.0.1:8443/", "https://169.254.169.254/latest/meta-data/", "https://[::1]/",
        "https://[::ffff:8.8.8.8]/", "https://[fe80::1%25lo]/", "https://localhost/", "https://LOCALHOST./",
        "https://a.localhost/", "https://metadata.google.internal/", "https://printer.local/", "https://accounts/",
        "https://2130706433/", "https://0x7f000001/",
    ],
)  # fmt: skip
def test_addresses_of_a_private_network_are_refused_by_their_text(text: str) -> None:
    with pytest.raises(AddressNotPublic) as refused:
        check_url(text, STRICT)
    assert "VITRIN_OUTBOUND_ALLOW" in refused.value.fix


HOSTS = st.one_of(
    st.ip_addresses().map(lambda one: f"[{one}]" if one.version == 6 else str(one)),
    st.text(max_size=20),
    st.sampled_from(
        ["localhost", "shop.example", "127.1", "0x7f.1", "xn--a.example", "[::ffff:10.0.0.1]", "1.2.3.4."]
    ),
)


@given(
    scheme=st.sampled_from(["https", "http", "HTTPS", "ftp", "https:", " https"]),
    user=st.sampled_from(["", "", "a@", "a:b@", "%40"]),
    host=HOSTS,
    rest=st.text(max_size=30),
)
def test_any_text_is_a_good_address_or_refused(scheme: str, user: str, host: str, rest: str) -> None:
    text = f"{scheme}://{user}{host}{rest}"
    try:
        url = check_url(text, STRICT)
    except (UrlRefused, AddressNotPublic):
        return
    assert url.scheme == "https"
    assert not url.userinfo
    literal = address_in(host_of(url))
    assert "." in url.host if literal is None else is_public(literal)
    assert str(check_url(str(url), STRICT)) == str(url), "what is stored is read as what was checked"


def test_one_private_address_refuses_a_name() -> None:
    STRICT.check_resolved("shop.example", [ip_address("8.8.8.8"), ip_address("2606:4700::1")])
    with pytest.raises(AddressNotPublic) as refused:
        STRICT.check_resolved("shop.example", [ip_address("8.8.8.8"), ip_address("10.0.0.7")])
    assert "10.0.0.7" not in refused.value.detail, "the answer would map our network"


def test_what_the_operator_allows() -> None:
    policy = OutboundPolicy.parse("Feeds.Corp.Example, 10.20.0.0/16,127.0.0.1,[::1]")
    for text in (
        "http://feeds.corp.example:81/x",
        "http://127.0.0.1:9000/",
        "http://10.20.3.4/",
        "https://[::1]:1/",
    ):
        assert str(check_url(text, policy))
    policy.check_resolved("feeds.corp.example", [ip_address("192.168.0.1")])
    policy.check_resolved("shop.example", [ip_address("10.20.0.9"), ip_address("8.8.8.8")])
    for text in ("https://10.21.0.1/", "https://127.0.0.2/", "https://a.feeds.corp.example.internal/"):
        with pytest.raises(AddressNotPublic):
            check_url(text, policy)
    with pytest.raises(AddressNotPublic):
        policy.check_resolved("a.feeds.corp.example", [ip_address("192.168.0.1")])


def test_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    assert OutboundSettings().policy == STRICT
    monkeypatch.setenv("VITRIN_OUTBOUND_HTTPS_ONLY", "false")
    monkeypatch.setenv("VITRIN_OUTBOUND_ALLOW", "127.0.0.0/8")
    policy = load(OutboundSettings).policy
    assert not policy.https_only
    assert str(check_url("http://shop.example/", policy)) == "http://shop.example/"
    for wrong in ("10.0.0.1/8", "https://shop.example", "a b", "shop.example:80"):
        monkeypatch.setenv("VITRIN_OUTBOUND_ALLOW", wrong)
        with pytest.raises(SettingsInvalid, match="no host name, address or network"):
            load(OutboundSettings)


def test_a_query_is_not_shown() -> None:
    assert shown("https://shop.example:8443/feed?token=hush") == "https://shop.example:8443/feed"
