"""Load that knows what it is owed: each writer keeps asking until it is answered, and counts what must come of it.

A request whose answer died with a process may have been carried out. Asked again with the same values it changes
nothing more, so versions count effects exactly: the version that an answer names is the one before plus one, however
often was asked.
"""

import threading
from abc import ABC, abstractmethod
from collections import Counter
from dataclasses import dataclass, field
from random import Random
from time import monotonic
from typing import Any

import httpx

from tests.e2e.system import PLATFORMS, Brand, Document, item

AWAY = frozenset({502, 503, 504})
"""Answers that mean: ask again."""
PATIENCE_S = 120.0
ASK_AGAIN_S = 0.05
FIRST_PRICE_MINOR = 1_100
OFFERS = 200
OFFERS_AT_ONCE_MAX = 10
CONTENTS = 60
DELETED_EVERY = 6
ROWS = 1_000
REFUSED_EVERY = 100
CONNECTIONS_MAX = 8
CONNECTED_EVERY = 8
OPEN_IMPORT = frozenset({"staged", "verifying", "applying"})


@dataclass
class Owed:
    """What the catalog must hold of an item. `gone`: deleted."""

    price: str
    title: str
    content_version: int = 1
    offer_version: int = 1
    gone: bool = False


@dataclass
class Asked:
    """An answer, and how many tries before it were not answered."""

    answer: httpx.Response
    unanswered: int

    @property
    def document(self) -> Any:
        assert self.answer.is_success, f"{self.answer.status_code} {self.answer.text[:500]}"
        return self.answer.json()


@dataclass
class Writer(ABC):
    """A thread. `open`: how many of its requests wait for an answer now (0 or 1)."""

    name: str
    brand: Brand
    random: Random
    stop: threading.Event
    pause_s: tuple[float, float]
    changes: int = 0
    open: int = 0
    tries: Counter[str] = field(default_factory=Counter)
    failure: BaseException | None = None
    _thread: threading.Thread | None = None

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name=self.name, daemon=True)
        self._thread.start()

    def join(self) -> None:
        assert self._thread is not None
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive(), f"{self.name} still waits for an answer"
        if self.failure is not None:
            raise self.failure

    def _run(self) -> None:
        try:
            while not self.stop.is_set():
                self.step()
                self.stop.wait(self.random.uniform(*self.pause_s))
        except BaseException as failure:
            self.failure = failure

    @abstractmethod
    def step(self) -> None:
        """One change, answered."""

    def ask(self, service: str, method: str, path: str, **request: Any) -> Asked:
        """Again and again until somebody answers."""
        end = monotonic() + PATIENCE_S
        unanswered = 0
        while True:
            said = self._once(service, method, path, request)
            if isinstance(said, httpx.Response) and said.status_code not in AWAY:
                return Asked(said, unanswered)
            assert monotonic() < end, f"{method} {path} of {service}: {said!r}"
            unanswered += 1
            threading.Event().wait(ASK_AGAIN_S)

    def _once(
        self, service: str, method: str, path: str, request: dict[str, Any]
    ) -> httpx.Response | httpx.TransportError:
        self.open = 1
        try:
            answer = self.brand.call(service, method, path, **request)
        except httpx.TransportError as silence:
            self.tries[type(silence).__name__] += 1
            return silence
        finally:
            self.open = 0
        self.tries[str(answer.status_code)] += 1
        return answer


@dataclass
class OfferWriter(Writer):
    """Price and stock: a price that was never there before with each change."""

    owed: dict[str, Owed] = field(default_factory=dict)
    next_minor: int = FIRST_PRICE_MINOR

    def begin(self) -> None:
        items = [item(f"offer-{number:03}") for number in range(OFFERS)]
        _created(self, items, self.owed)

    def step(self) -> None:
        names = self.random.sample(sorted(self.owed), self.random.randint(1, OFFERS_AT_ONCE_MAX))
        items = []
        for name in names:
            self.next_minor += 1
            items.append({"id": name, "price": euro(self.next_minor), "quantity": self.next_minor % 40 + 1})
        asked = self.ask("catalog", "POST", "/v1/offers:batch", json={"items": items})
        may_be = {"updated", "unchanged"} if asked.unanswered else {"updated"}
        for wanted, result in zip(items, asked.document["results"], strict=True):
            owed = self.owed[str(wanted["id"])]
            owed.offer_version += 1
            owed.price = str(wanted["price"])
            seen = (result["outcome"] in may_be, result["content_version"], result["offer_version"])
            assert seen == (True, owed.content_version, owed.offer_version), (result, asked.unanswered)
            self.changes += 1


@dataclass
class ContentWriter(Writer):
    """Titles, deletions, and items that come back."""

    owed: dict[str, Owed] = field(default_factory=dict)
    edition: int = 0

    def begin(self) -> None:
        _created(self, [item(f"content-{number:02}") for number in range(CONTENTS)], self.owed)

    def step(self) -> None:
        self.edition += 1
        if self.edition % DELETED_EVERY == 0:
            self._delete(self.random.choice([name for name, owed in self.owed.items() if not owed.gone]))
        names = self.random.sample(sorted(self.owed), self.random.randint(1, 5))
        items = [item(name, title=f"{name} edition {self.edition}") for name in names]
        asked = self.ask("catalog", "POST", "/v1/items:batch", json={"items": items})
        for wanted, result in zip(items, asked.document["results"], strict=True):
            owed = self.owed[wanted["id"]]
            plain = "created" if owed.gone else "updated"
            may_be = {plain, "unchanged"} if asked.unanswered else {plain}
            owed.content_version += 1
            owed.offer_version += owed.gone
            owed.title, owed.gone = wanted["title"], False
            seen = (result["outcome"] in may_be, result["content_version"], result["offer_version"])
            assert seen == (True, owed.content_version, owed.offer_version), (result, asked.unanswered)
            self.changes += 1

    def _delete(self, name: str) -> None:
        asked = self.ask("catalog", "DELETE", f"/v1/items/{name}")
        assert asked.answer.is_success or (asked.unanswered and asked.answer.status_code == 404), asked
        owed = self.owed[name]
        owed.content_version += 1
        owed.offer_version += 1
        owed.gone = True
        self.changes += 1


@dataclass
class ImportWriter(Writer):
    """One import after the other over the same rows, with new prices in each."""

    round: int = 0

    def feed(self) -> str:
        rows = [
            f"row-{number},Row {number},{self._price(number)},https://shop.example/p/{number},"
            f"https://shop.example/i/{number}.jpg,A row.,Holm"
            for number in range(1, ROWS + 1)
        ]
        return "id,title,price,link,image_link,description,brand\n" + "\n".join(rows) + "\n"

    def _price(self, number: int) -> str:
        return '"12,50 EUR"' if number % REFUSED_EVERY == 0 else self.price_of(number)

    def price_of(self, number: int) -> str:
        return euro(100 * (number + 10) + self.round % 100)

    def step(self) -> None:
        self.round += 1
        sent = self.ask(
            "catalog", "POST", "/v1/imports", params={"file_name": f"{self.round}.csv"}, content=self.feed()
        )
        assert sent.answer.status_code == 202, sent.answer.text
        end = monotonic() + PATIENCE_S
        while OPEN_IMPORT & {one["state"] for one in self.imports()}:
            assert monotonic() < end, "an import does not end"
            threading.Event().wait(4 * ASK_AGAIN_S)
        self.changes += ROWS - ROWS // REFUSED_EVERY

    def imports(self) -> list[Document]:
        found: list[Document] = []
        cursor = None
        while True:
            page = self.ask(
                "catalog",
                "GET",
                "/v1/imports",
                params={"limit": 200} | ({"cursor": cursor} if cursor else {}),
            )
            found += page.document["data"]
            if not (cursor := page.document["next_cursor"]):
                return found


@dataclass
class AccountsWriter(Writer):
    """Connections of a brand of its own: changed, and one more now and then. Versions count what was done to each."""

    versions: dict[str, int] = field(default_factory=dict)
    number: int = 0

    def begin(self) -> None:
        self.brand.ok("catalog", "POST", "/v1/items:batch", json={"items": [item("calm-1"), item("calm-2")]})
        self.versions = {one["id"]: one["version"] for one in self._list()}

    def _list(self) -> list[Document]:
        found: list[Document] = self.ask(
            "accounts", "GET", "/v1/connections", params={"limit": 200}
        ).document["data"]
        return found

    def step(self) -> None:
        self.number += 1
        if self.number % CONNECTED_EVERY == 0 and len(self.versions) < CONNECTIONS_MAX:
            self._connect(self.random.choice(PLATFORMS))
        else:
            self._change(self.random.choice(sorted(self.versions)))
        self.changes += 1

    def _change(self, connection: str) -> None:
        """Not safe to repeat blindly: after silence it looks whether the change is there."""
        path = f"/v1/connections/{connection}"
        scopes = [f"scope_{self.number}"]
        while True:
            said = self._once("accounts", "PATCH", path, {"json": {"scopes": scopes}})
            if isinstance(said, httpx.Response) and said.status_code not in AWAY:
                assert said.is_success, said.text
                seen = said.json()
                break
            seen = self.ask("accounts", "GET", path).document
            if seen["scopes"] == scopes:
                break
        self.versions[connection] += 1
        assert (seen["scopes"], seen["version"]) == (scopes, self.versions[connection])

    def _connect(self, platform: str) -> None:
        account = self.ask("sandbox", "POST", "/_sandbox/accounts", json={"platform": platform}).document
        known = {"catalog_id", "business_id", "ad_account_id"}
        ids = {name: value for name, value in account["external_ids"].items() if name in known}
        wanted = {
            "platform": platform,
            "mode": "sandbox",
            "external_ids": ids,
            "access_token": account["access_token"],
            "base_url": account["base_url"],
        }
        asked = self.ask("accounts", "POST", "/v1/connections", json=wanted)
        if asked.answer.status_code == 409 and asked.unanswered:
            made = next(
                one for one in self._list() if one["external_ids"].get("catalog_id") == ids["catalog_id"]
            )
        else:
            made = asked.document
        assert made["version"] == 1
        self.versions[made["id"]] = 1


def euro(minor: int) -> str:
    return f"{minor // 100}.{minor % 100:02} EUR"


def _created(writer: Writer, items: list[Document], owed: dict[str, Owed]) -> None:
    counts = writer.brand.ok("catalog", "POST", "/v1/items:batch", json={"items": items})["counts"]
    assert counts["created"] == len(items)
    owed.update({one["id"]: Owed(one["price"], one["title"]) for one in items})
