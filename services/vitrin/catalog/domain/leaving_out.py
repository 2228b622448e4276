"""What can be left out of an item that a shop tells of: a wrong barcode or a broken picture keeps no product from the
shopfronts. Files and the API are different: who sends them reads the answer, and corrects it."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from vitrin.catalog.domain import limits, readers
from vitrin.catalog.domain.html_text import html_to_text
from vitrin.catalog.domain.patch import problem_of
from vitrin.catalog.domain.problems import FieldProblem
from vitrin.catalog.domain.readers import Invalid

NEEDED: Final = frozenset({"id", "title", "price", "sale_price", "item_group_id"})
"""Without them, or with another price than the shop's, there is no item."""
LEFT_OUT_MAX: Final = 20
"""Problems of one item; more are not named."""
_LINKS: Final = "additional_image_link"
_WINDOW: Final = "sale_price_effective_date"


class Remaining(NamedTuple):
    """`values` can be read, but for what an item needs. `left_out`: what cannot be, in the words of the readers."""

    values: dict[str, object]
    attributes: dict[str, str | None]
    left_out: tuple[FieldProblem, ...]


def leave_out(values: Mapping[str, object], attributes: Mapping[str, str | None]) -> Remaining:
    """What cannot be read is cleared, of lists the one entry; the next picture takes the place of a first one that
    cannot be; title and description are cut where they are too long. Of a sale window that cannot be read the sale
    goes too: it would never end."""
    kept: dict[str, object] = dict(values)
    problems = [problem for cut in (_cut_title, _cut_description) if (problem := cut(kept)) is not None]
    for name, value in list(kept.items()):
        if name in NEEDED or value is None:
            continue
        if name == _LINKS and isinstance(value, Sequence):
            kept[name], found = _links(value)
            problems += found
        elif (problem := _window_problem(value) if name == _WINDOW else problem_of(name, value)) is not None:
            kept[name] = None
            problems.append(problem)
            if name == _WINDOW:
                kept["sale_price"] = None
    links = kept.get(_LINKS)
    if links and values.get("image_link") and kept.get("image_link") is None and isinstance(links, list):
        kept["image_link"], kept[_LINKS] = links[0], links[1:]
    read, found = _attributes(attributes)
    return Remaining(kept, read, tuple([*problems, *found][:LEFT_OUT_MAX]))


def _cut_title(values: dict[str, object]) -> FieldProblem | None:
    title = str(values.get("title") or "")
    if len(title) <= limits.TITLE_CHARS_MAX:
        return None
    values["title"] = title[: limits.TITLE_CHARS_MAX].rstrip()
    return _cut("title", len(title), limits.TITLE_CHARS_MAX)


def _cut_description(values: dict[str, object]) -> FieldProblem | None:
    html = str(values.get("description_html") or "")
    if len(html) <= limits.DESCRIPTION_CHARS_MAX:
        return None
    text = html_to_text(html[: limits.DESCRIPTION_HTML_CHARS_MAX])
    if len(text) <= limits.DESCRIPTION_CHARS_MAX and len(html) <= limits.DESCRIPTION_HTML_CHARS_MAX:
        return None
    del values["description_html"]
    values["description"] = text[: limits.DESCRIPTION_CHARS_MAX].rstrip()
    return _cut("description", len(text), limits.DESCRIPTION_CHARS_MAX)


def _cut(field: str, chars: int, chars_max: int) -> FieldProblem:
    return FieldProblem(
        field,
        f"{field}_too_long",
        f"{field} has {chars} characters; the limit is {chars_max}",
        "It was cut there; shorten it at the shop.",
    )


def _links(links: Sequence[Any]) -> tuple[list[str], list[FieldProblem]]:
    kept, problems = [], []
    for index, link in enumerate(links):
        try:
            readers.read_url(f"{_LINKS}[{index}]", link)
        except Invalid as invalid:
            problems.append(invalid.problem)
        else:
            kept.append(link)
    if len(kept) > limits.ADDITIONAL_IMAGES_MAX:
        problems.append(
            FieldProblem(
                _LINKS,
                "too_many_images",
                f"{len(kept)} addresses; the limit is {limits.ADDITIONAL_IMAGES_MAX}",
                "The first ones are kept.",
            )
        )
    return kept[: limits.ADDITIONAL_IMAGES_MAX], problems


def _window_problem(value: object) -> FieldProblem | None:
    try:
        start, end = readers.read_sale_window(_WINDOW, value)
    except Invalid as invalid:
        return invalid.problem
    if start is not None and end is not None and end <= start:
        return FieldProblem(
            _WINDOW,
            "sale_window_order",
            f"the sale ends at {end.isoformat()}, not after its start",
            "Correct the dates of the sale at the shop.",
        )
    return None


def _attributes(attributes: Mapping[str, str | None]) -> tuple[dict[str, str | None], list[FieldProblem]]:
    kept: dict[str, str | None] = {}
    problems = []
    for name, text in attributes.items():
        try:
            readers.read_attributes("attributes", {name: text})
        except Invalid as invalid:
            problems.append(invalid.problem)
        else:
            kept[name] = text
    told = [name for name, text in kept.items() if text is not None]
    for name in told[limits.ATTRIBUTES_MAX :]:
        del kept[name]
    if len(told) > limits.ATTRIBUTES_MAX:
        problems.append(
            FieldProblem(
                "attributes",
                "too_many_attributes",
                f"{len(told)} attributes; the limit is {limits.ATTRIBUTES_MAX}",
                "The first ones are kept.",
            )
        )
    return kept, problems
