"""What a shopper sees whose cart cannot go on as it is. No script, everything escaped."""

from html import escape
from typing import Final

from vitrin.shop_sync.domain.cart_words import LANGUAGE, LANGUAGES, told, words_in
from vitrin.shop_sync.service.checkouts import Cart

HEADERS: Final = {
    "cache-control": "no-store",
    "referrer-policy": "strict-origin-when-cross-origin",
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "x-robots-tag": "noindex",
}
_STYLE: Final = (
    "body{font:17px/1.5 system-ui,sans-serif;max-width:34rem;margin:10vh auto;padding:0 1.5rem;color:#1d1d1b}"
    "h1{font-size:1.5rem}li{margin:.4rem 0}a{display:inline-block;margin-top:1rem;padding:.7rem 1.4rem;"
    "border-radius:8px;background:#1d1d1b;color:#fff;text-decoration:none}"
)


def page(cart: Cart) -> str:
    words = words_in(cart.language)
    troubles = "".join(f"<li>{escape(told(one, cart.language))}</li>" for one in cart.handoff.troubles)
    lead = words["partly" if cart.handoff.lines else "nothing"]
    label = words["go_on" if cart.handoff.lines else "to_shop"]
    return _document(
        cart.language,
        f"<p>{escape(lead)}</p><ul>{troubles}</ul>"
        f'<a href="{escape(cart.url)}" rel="nofollow">{escape(label)}</a>',
    )


def closed(accept_language: str, *, crowded: bool) -> str:
    """Where no cart can be looked at. Whose channel it is may be unknown: the browser says the language."""
    language = accept_language.partition(",")[0].partition(";")[0].strip()
    return _document(language, f"<p>{escape(words_in(language)['crowded' if crowded else 'closed'])}</p>")


def _document(language: str, body: str) -> str:
    title = escape(words_in(language)["title"])
    spoken = language.partition("-")[0].lower()
    return (
        f'<!doctype html><html lang="{spoken if spoken in LANGUAGES else LANGUAGE}"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{title}</title><style>{_STYLE}</style></head><body><h1>{title}</h1>{body}</body></html>"
    )
