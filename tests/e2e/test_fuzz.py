"""Odd bodies, ids and parameters on every route of every service: never an error of ours (5xx)."""

import json
from typing import Any
from urllib.parse import quote

import orjson
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.e2e.system import SERVICES, Brand, System, item
from tests.e2e.walk import Operation, operations

EXAMPLES = 150
JSON = {"Content-Type": "application/json"}
ODD_TEXTS = (
    *(
        "",
        " ",
        "\x00",
        "a\x00b",
        "../..",
        "%2e%2e%2f",
        "%00",
        "a/b",
        "🛒",
        "﷽",
        "ﬀ",
        "\u202e",
        "-0",
        "NaN",
        "null",
    ),
    *(
        "1" * 400,
        "x" * 5_000,
        "é" * 300,
        "0" * 50 + " EUR",
        "1e400 EUR",
        "-1.00 EUR",
        "9" * 30 + " EUR",
        "1.00 XXX",
    ),
    *(
        "2026-11-22T00:00:00Z",
        "9999-12-31T23:59:59+23:59",
        "0001-01-01T00:00:00-23:59",
        "https://[",
        "http://a:99999",
    ),
)
texts = st.one_of(st.sampled_from(ODD_TEXTS), st.text(max_size=40))
numbers = st.one_of(
    st.integers(), st.sampled_from([0, -1, 2**31, 2**53, 2**63, 2**64, 10**60]), st.floats(allow_nan=False)
)
scalars = st.one_of(st.none(), st.booleans(), numbers, texts)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(texts, inner, max_size=4)),
    max_leaves=12,
)
RAW = (
    b"",
    b"null",
    b"[]",
    b"{",
    b'{"id": "\\ud800"}',
    b'{"id": "\xff\xfe"}',
    b'{"items": [{"id": "\\udfff\\ud800", "title": "\\ud83d"}]}',
    b'{"id": 1e999}',
    b'{"a": ' + b"9" * 5_000 + b"}",
    b"[" * 20_000 + b"]" * 20_000,
    b'{"a":' * 5_000 + b"1" + b"}" * 5_000,
    b'{"id": "a", "id": "b"}',
    "{}".encode("utf-16"),
    b"\x00" * 100,
)


def encoded(value: object) -> bytes:
    """As JSON, also where only a careless client would send it: huge integers, lone surrogates."""

    try:
        return orjson.dumps(value)
    except (TypeError, orjson.JSONEncodeError):
        return json.dumps(value).encode()


def bent(example: Any) -> st.SearchStrategy[Any]:
    """The good body with some of its fields replaced; a body from nowhere rarely gets past the first check."""
    if isinstance(example, list) and example:
        return st.lists(bent(example[0]), max_size=3)
    if isinstance(example, dict) and example:
        names = st.sampled_from(sorted(example))
        changed = st.dictionaries(st.one_of(names, names, texts), values, max_size=3)
        inner = st.fixed_dictionaries({}, optional={name: bent(value) for name, value in example.items()})
        return st.one_of(
            changed.map(lambda change: {**example, **change}),
            inner.map(lambda change: {**example, **change}),
            values,
        )
    return st.one_of(values, st.just(example))


@st.composite
def requests(draw: st.DrawFn, routes: list[Operation]) -> tuple[str, str, bytes | None, dict[str, str]]:
    """A route with odd ids, odd parameters and an odd body."""
    one = draw(st.sampled_from(routes))
    path = one.path
    for name in one.names:
        odd = draw(st.one_of(texts, st.just("ok"), st.uuids().map(str)))
        path = path.replace(f"{{{name}}}", quote(odd.encode("utf-8", "surrogatepass"), safe="") or "%20")
    parameters = draw(
        st.dictionaries(
            st.sampled_from(
                ["limit", "cursor", "state", "status", "q", "sku", "window_s", "updated_since", "format"]
            ),
            texts.filter(lambda text: text.isprintable()),
            max_size=2,
        )
    )
    body = None
    if one.media_type is not None:
        example = {**item("ok"), **one.example} if one.path.endswith("/items") else one.example
        body = draw(st.one_of(bent(example).map(encoded), bent(example).map(encoded), st.sampled_from(RAW)))
    return one.method, path, body, parameters


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.timeout(240)
def test_nothing_sent_is_ever_our_error(service: str, system: System) -> None:
    brand = system.new_brand(connected=service != "catalog")
    routes = [one for one in operations(system) if one.service == service and not one.for_the_operator]
    answered: dict[int, int] = {}

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize=True,
        phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )
    @given(requests(routes))
    def check(request: tuple[str, str, bytes | None, dict[str, str]]) -> None:
        method, path, body, parameters = request
        headers = {} if body is None else JSON
        answer = brand.call(service, method, path, content=body, headers=headers, params=parameters)
        answered[answer.status_code] = answered.get(answer.status_code, 0) + 1
        assert answer.status_code < 500, f"{method} {path} {parameters} {body!r}: {answer.text}"
        assert "Traceback" not in answer.text
        if answer.status_code >= 400 and answer.status_code not in {404, 405}:
            assert answer.json()["code"], answer.text

    check()
    assert min(answered) < 300, f"nothing got through: {answered}"
    assert max(answered) >= 400, f"nothing was refused: {answered}"
    print(f"{service}: {dict(sorted(answered.items()))}")


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize("raw", RAW, ids=range(len(RAW)))
def test_raw_bodies(service: str, raw: bytes, system: System, brand_b: Brand) -> None:
    for one in operations(system):
        if one.service == service and one.media_type == "application/json" and not one.for_the_operator:
            path = one.url(dict.fromkeys(one.names, "00000000-0000-0000-0000-000000000000"))
            answer = brand_b.call(service, one.method, path, content=raw, headers=JSON)
            assert answer.status_code < 500, f"{one} {raw[:60]!r}: {answer.text}"
