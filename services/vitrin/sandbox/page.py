"""The page at ``/``: what each platform holds now, side by side. Rendered here, everything escaped; no assets."""

from collections.abc import Iterable
from html import escape
from typing import Any

REFRESH_MS = 2_000
TITLE_CHARS_SHOWN = 60
ACCOUNTS_SHOWN_MAX = 4
CULPRITS_SHOWN_MAX = 3

NAMES = {"meta": "Meta", "pinterest": "Pinterest"}

STYLE = """
:root{color-scheme:light dark;--bg:#f5f5f2;--card:#fff;--ink:#1d1d1b;--soft:#6d6d68;--line:#e4e4de;--good:#1c7c4a;
--bad:#b3261e;--warn:#9a6700;--meta:#0866ff;--pinterest:#e60023;--chip:#eeeee9}
@media(prefers-color-scheme:dark){:root{--bg:#151514;--card:#1f1f1d;--ink:#ecece6;--soft:#9a9a92;--line:#33332f;
--good:#5ccb8f;--bad:#ff8a80;--warn:#e3b341;--meta:#5b9bff;--pinterest:#ff5c72;--chip:#2a2a27}}
*{box-sizing:border-box}body{margin:0;background:var(--bg);color:var(--ink);
font:14px/1.45 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
header{display:flex;gap:12px;align-items:baseline;padding:22px 28px 6px;flex-wrap:wrap}
h1{font-size:20px;margin:0;letter-spacing:-.01em}header span{color:var(--soft)}
main{padding:14px 28px 40px;display:grid;gap:18px}
.platforms{display:grid;gap:18px;grid-template-columns:repeat(auto-fit,minmax(min(520px,100%),1fr));align-items:start}
.card{background:var(--card);border:1px solid var(--line);border-radius:12px;padding:18px 20px;
overflow:hidden;min-width:0}
.card.meta{border-top:4px solid var(--meta)}.card.pinterest{border-top:4px solid var(--pinterest)}
h2{font-size:16px;margin:0 0 2px}h3{font-size:13px;margin:16px 0 6px;font-weight:600}
.soft{color:var(--soft);font-size:12px}code{font:12px ui-monospace,SFMono-Regular,Menlo,monospace}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(84px,1fr));gap:8px;margin:10px 0}
.tile{background:var(--chip);border-radius:8px;padding:8px 10px}.tile b{display:block;font-size:19px;
font-variant-numeric:tabular-nums}.tile span{font-size:11px;color:var(--soft)}
.scroll{overflow-x:auto}table{border-collapse:collapse;width:100%;font-size:12.5px}
th{text-align:left;font-weight:500;color:var(--soft);padding:5px 10px 5px 0;border-bottom:1px solid var(--line)}
td{padding:5px 10px 5px 0;border-bottom:1px solid var(--line);vertical-align:top}tr:last-child td{border-bottom:0}
.num{font-variant-numeric:tabular-nums;white-space:nowrap}.chip{display:inline-block;background:var(--chip);
border-radius:99px;padding:1px 8px;font-size:11px;white-space:nowrap}
.good{color:var(--good)}.bad{color:var(--bad)}.warn{color:var(--warn)}s{color:var(--soft)}
"""

SCRIPT = """
const part=document.getElementById('live');
setInterval(async()=>{if(document.hidden)return;try{const r=await fetch('/_sandbox/page');
if(r.ok)part.innerHTML=await r.text();}catch(e){}},REFRESH_MS);
""".replace("REFRESH_MS", str(REFRESH_MS))

GOOD, BAD = (
    frozenset({"in stock", "preorder", "available for order"}),
    frozenset({"out of stock", "discontinued"}),
)


def render_page(summary: dict[str, Any]) -> str:
    """The whole page for a summary as ``GET /_sandbox/state`` gives it."""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Vitrin sandbox</title>'
        '<meta name="viewport" content="width=device-width,initial-scale=1"><link rel="icon" href="data:,">'
        f"<style>{STYLE}</style></head><body><header><h1>Vitrin sandbox</h1>"
        "<span>What each platform holds right now</span></header>"
        f'<main id="live">{render_fragment(summary)}</main><script>{SCRIPT}</script></body></html>'
    )


def render_fragment(summary: dict[str, Any]) -> str:
    """The part that is refreshed."""
    platforms = "".join(_platform(one) for one in summary["platforms"])
    return (
        f'<div class="platforms">{platforms}</div>{_faults(summary["faults"])}{_log(summary["log"])}'
        f'<div class="soft">as of {_text(summary["now"])}</div>'
    )


def _text(value: Any) -> str:
    return escape(str(value), quote=True)


def _table(head: Iterable[str], rows: Iterable[Iterable[str]], *, empty: str) -> str:
    """Cells are HTML already."""
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    if not body:
        return f'<div class="soft">{_text(empty)}</div>'
    heads = "".join(f"<th>{_text(name)}</th>" for name in head)
    return f'<div class="scroll"><table><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table></div>'


def _platform(platform: dict[str, Any]) -> str:
    name = platform["platform"]
    accounts = platform["accounts"]
    shown = "".join(_account(one) for one in accounts[:ACCOUNTS_SHOWN_MAX])
    more = len(accounts) - ACCOUNTS_SHOWN_MAX
    rest = f'<div class="soft">and {more} more accounts</div>' if more > 0 else ""
    return (
        f'<section class="card {_text(name)}"><h2>{_text(NAMES.get(name, name))}</h2>'
        f"<code class=soft>{_text(platform['host'])}</code>{shown}{rest}</section>"
    )


def _account(account: dict[str, Any]) -> str:
    state = account["token_state"]
    token = "" if state == "valid" else f' <span class="chip bad">token {_text(state)}</span>'
    ids = " · ".join(
        f"{_text(name)} <code>{_text(value)}</code>" for name, value in account["external_ids"].items()
    )
    catalogs = "".join(_catalog(one) for one in account["catalogs"])
    shown = f'<h3>{_text(account["name"])}{token}</h3><div class="soft">{ids}</div>{catalogs}'
    return shown + _ads(account)


def _ads(account: dict[str, Any]) -> str:
    """Audiences and events, where there are any."""
    parts = ""
    if account["audiences"]:
        rows = [
            [_text(one["name"]), f"{one['rows']:,}", f"{one['people_matched']:,}"]
            for one in account["audiences"]
        ]
        parts += _table(("audience", "rows", "people matched"), rows, empty="")
    if account["conversions"]:
        tiles = [_tile(f"{count:,}", name) for name, count in account["conversions"].items()]
        parts += f'<div class="tiles">{"".join(tiles)}</div>'
    return parts


def _tile(value: Any, label: str) -> str:
    return f'<div class="tile"><b>{_text(value)}</b><span>{_text(label)}</span></div>'


def _catalog(catalog: dict[str, Any]) -> str:
    tiles = [
        _tile(f"{catalog['items']:,}", "items"),
        _tile(f"{catalog['with_title']:,}", "with title"),
        _tile(f"{catalog['with_image']:,}", "with image"),
        _tile(f"{catalog['with_price']:,}", "with price"),
        _tile(f"{catalog['on_sale']:,}", "on sale"),
        *(_tile(f"{count:,}", availability) for availability, count in catalog["availability"].items()),
    ]
    rows = [_item_row(item) for item in catalog["recent"]]
    changed = catalog["last_change_at"]
    when = f"last change {_text(changed)}" if changed else "nothing yet"
    return (
        f'<div class="soft">{_text(catalog["name"])} · {when}</div><div class="tiles">{"".join(tiles)}</div>'
        + _table(("item", "title", "price", "availability", "image", "changed"), rows, empty="No items.")
    )


def _item_row(item: dict[str, Any]) -> list[str]:
    fields = item["fields"]
    title = str(fields.get("title", ""))
    short = title if len(title) <= TITLE_CHARS_SHOWN else f"{title[:TITLE_CHARS_SHOWN]}…"
    availability = str(fields.get("availability", ""))
    tone = "good" if availability in GOOD else "bad" if availability in BAD else ""
    image = '<span class="good">✓</span>' if fields.get("image_link") else '<span class="bad">–</span>'
    return [
        f"<code>{_text(item['item_id'])}</code>",
        _text(short),
        f'<span class="num">{_price(fields)}</span>',
        f'<span class="chip {tone}">{_text(availability)}</span>',
        image,
        f'<span class="num soft">{_text(item["updated_at"][11:23])}</span>',
    ]


def _price(fields: dict[str, Any]) -> str:
    price, sale = fields.get("price", "–"), fields.get("sale_price")
    return f"{_text(sale)} <s>{_text(price)}</s>" if sale else _text(price)


def _faults(faults: list[dict[str, Any]]) -> str:
    rows = [
        [
            f'<span class="chip warn">{_text(fault["kind"])}</span>',
            _text(" · ".join(one for one in (fault["platform"], fault["account"]) if one) or "any"),
            _text(" ".join(one for one in (fault["endpoint"], fault["method"]) if one) or "any"),
            f"<code>{_text(fault['path'] or 'any')}</code>",
            _culprits(fault),
            _text(fault.get("error") or fault.get("status") or fault.get("code") or ""),
            _text(f"{fault['hits']} of {fault['count'] or '∞'}"),
        ]
        for fault in faults
    ]
    head = ("fault", "platform", "calls", "path", "items", "answer", "hits")
    table = _table(head, rows, empty="No active faults.")
    kinds = '<a href="/_sandbox/faults/kinds">/_sandbox/faults/kinds</a>'
    hint = f'<div class="soft">Every kind, with examples: {kinds}</div>'
    return f'<section class="card"><h2>Faults</h2>{table}{hint}</section>'


def _culprits(fault: dict[str, Any]) -> str:
    if fault["item_share"] is not None:
        return _text(f"{fault['item_share']:.3g} of all, seed {fault['seed']}")
    named = fault["item_ids"] or []
    more = f" and {len(named) - CULPRITS_SHOWN_MAX} more" if len(named) > CULPRITS_SHOWN_MAX else ""
    return _text(", ".join(named[:CULPRITS_SHOWN_MAX]) + more)


def _log(entries: list[dict[str, Any]]) -> str:
    rows = []
    for entry in entries:
        status = entry["status"]
        tone = "good" if status is not None and status < 400 else "bad"
        code = f" · {entry['error_code']}" if entry["error_code"] is not None else ""
        operations = ", ".join(f"{count} {name}" for name, count in entry["operations"].items())
        rows.append(
            [
                f'<span class="num soft">{_text(entry["received_at"][11:23])}</span>',
                _text(entry["platform"]),
                f"{_text(entry['method'])} <code>{_text(entry['path'])}</code>",
                f'<span class="chip {tone}">{_text(status or "closed")}{_text(code)}</span>',
                _text(operations or (f"{entry['item_count']} items" if entry["item_count"] else "")),
                f'<span class="num">{entry["duration_ms"]:.1f} ms</span>',
                f'<span class="warn">{_text(entry["fault"] or "")}</span>',
            ]
        )
    head = ("received", "platform", "request", "answer", "items", "took", "fault")
    return f'<section class="card"><h2>Requests</h2>{_table(head, rows, empty="No requests yet.")}</section>'
