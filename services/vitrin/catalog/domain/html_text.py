"""An HTML product description as plain text: what a platform shows of it."""

import re
from html.parser import HTMLParser
from typing import Final

_DROPPED: Final = frozenset({"script", "style", "template", "iframe", "object", "svg", "head", "noscript"})
_PARAGRAPHS: Final = frozenset(
    {"p", "h1", "h2", "h3", "h4", "h5", "h6", "ul", "ol", "dl", "table", "blockquote", "pre", "hr"}
)
_LINES: Final = frozenset({"br", "div", "li", "tr", "dt", "dd", "section", "article", "figure", "figcaption"})
_CELLS: Final = frozenset({"td", "th"})
_TAG = re.compile(
    r"</?(?:p|br|div|span|ul|ol|li|h[1-6]|strong|b|em|i|u|a|img|table|tr|td|hr|script|style|blockquote|sup|sub)"
    r"(?:\s[^<>]*)?/?>",
    re.IGNORECASE,
)
_BLANKS = re.compile(r"[ \t\r\f\v\n\xa0]+")


def looks_like_html(text: str) -> bool:
    """True when the text has a tag that descriptions use; "a < b" and "R&D" are plain text."""
    return _TAG.search(text) is not None


class _TextCollector(HTMLParser):
    """Collects text; unclosed dropped elements end at the end of the document, as browsers have it."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self._dropping: list[str] = []
        self._breaks = 0
        self._bullet = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if self._dropping:
            if tag == self._dropping[0]:
                self._dropping.append(tag)
        elif tag in _DROPPED:
            self._dropping.append(tag)
        else:
            self._break(tag)
            self._bullet = self._bullet or tag == "li"

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if not self._dropping and tag not in _DROPPED:
            self._break(tag)

    def handle_endtag(self, tag: str) -> None:
        if self._dropping:
            if tag == self._dropping[0]:
                self._dropping.pop()
        elif tag != "br":
            self._break(tag)
            self._bullet = self._bullet and tag != "li"

    def handle_data(self, data: str) -> None:
        if self._dropping:
            return
        text = _BLANKS.sub(" ", data)
        if text.strip():
            self.parts.append("\n" * self._breaks + ("- " if self._bullet else ""))
            self._breaks, self._bullet = 0, False
        self.parts.append(text)

    def _break(self, tag: str) -> None:
        """A paragraph asks for a blank line, a line for a new line; two <br> make a blank line."""
        if tag == "br":
            self._breaks = min(self._breaks + 1, 2)
        elif tag in _PARAGRAPHS:
            self._breaks = 2
        elif tag in _LINES:
            self._breaks = max(self._breaks, 1)
        elif tag in _CELLS:
            self.parts.append(" ")


def html_to_text(html: str) -> str:
    """Tags out, entities decoded, paragraphs and lists as line breaks, scripts and styles dropped.

    At most one blank line between paragraphs; no blanks at the ends of lines.
    """
    collector = _TextCollector()
    collector.feed(html)
    collector.close()
    lines = (" ".join(line.split()) for line in "".join(collector.parts).split("\n"))
    return "\n".join(lines).strip()
