"""What a person's browser shows when a platform sends it back. No script, no address of ours, everything escaped."""

from html import escape

from vitrin.accounts.service_grants import Granted
from vitrin.kit.errors import VitrinError

_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:38rem;margin:12vh auto;padding:0 1.5rem;color:#1d1d1b}"
    "h1{font-size:1.4rem}code{background:#eeeee9;padding:.1rem .3rem;border-radius:4px}.soft{color:#6d6d68}"
)
HEADERS = {
    "cache-control": "no-store",
    "referrer-policy": "no-referrer",
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
}
"""The address of this page carries a code and a state: it is neither kept nor told to anybody."""


def connected(granted: Granted, title: str, brand: str) -> str:
    connection_id = escape(str(granted.connection.connection_id))
    if granted.connection.state == "active" and not granted.again:
        told = "<p>The shop is read now, and then followed. You can close this page.</p>"
    elif granted.again:
        told = "<p>The connection is active again, and what waited goes on by itself. You can close this page.</p>"
    else:
        told = (
            "<p>One step is left: choose the catalog. The command line that you came from asks for it; else:</p>"
            f"<p><code>GET /v1/connections/{connection_id}/assets</code><br>"
            f"<code>POST /v1/connections/{connection_id}:choose</code></p>"
        )
    return _page(
        f"{title} is connected", _for(brand) + told + f'<p class="soft">Connection {connection_id}</p>'
    )


def _for(brand: str) -> str:
    """Whoever was talked into a stranger's consent sees the name here."""
    return f"<p>For the brand <b>{escape(brand)}</b>.</p>" if brand else ""


def refused(error: VitrinError, brand: str) -> str:
    rows = "".join(
        f"<li><code>{escape(one.field)}</code>: {escape(one.message)} {escape(one.fix)}</li>"
        for one in error.errors
    )
    reasons = f"<ul>{rows}</ul>" if rows else ""
    return _page(
        error.title,
        f"{_for(brand)}<p>{escape(error.detail)}</p>{reasons}<p><b>What to do:</b> {escape(error.fix)}</p>"
        f'<p class="soft">{escape(error.code)}</p>',
    )


def _page(title: str, body: str) -> str:
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f"<style>{_STYLE}</style></head><body><h1>{escape(title)}</h1>{body}</body></html>"
    )
