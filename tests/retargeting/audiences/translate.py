"""Events of the reference as columns of the engine."""

from collections.abc import Iterable

from tests.retargeting.audiences.reference import Seen, World
from vitrin.retargeting.audiences.engine.columns import (
    KIND_IDS,
    NO_PRICE,
    Batch,
    Dictionary,
    Item,
    Row,
    batch_of,
)
from vitrin.retargeting.audiences.language import words


class Translator:
    def __init__(self) -> None:
        self.dictionary = Dictionary()

    def batch(self, events: Iterable[Seen], world: World) -> Batch:
        return batch_of(self.row(event, world.subject(event.visitor)) for event in events)

    def row(self, event: Seen, subject: int) -> Row:
        ids = self.dictionary.id
        items = tuple(
            Item(
                ids("item", item.item),
                ids("category", item.category),
                ids("brand", item.brand),
                NO_PRICE if item.price is None else item.price,
            )
            for item in event.items
        )
        currency = ids("currency", event.currency)
        return Row(event.seq, subject, event.at, KIND_IDS[event.name], event.value, currency, items)

    def fact(self, name: str, text: str) -> int:
        return self.dictionary.id("market", text) if name == "market" else words.CHOICES.index(text)
