"""Reads the goods of a shop from a file that such a shop exported. A simple reader: what it cannot read, it refuses."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from decimal import Decimal, InvalidOperation
from itertools import product as combinations

from vitrin.sandbox.shops.goods import NewProduct, NewVariant

OPTIONS = (1, 2, 3)
ROWS_MAX = 1_000_000


class FileInvalid(ValueError):
    """Not a file of that kind of shop; says the line."""


def read_products(text: str) -> Iterator[NewProduct]:
    """Of a Shopify or a WooCommerce export, found out by its columns. Raises FileInvalid."""
    reader = csv.DictReader(io.StringIO(text.lstrip("\ufeff")))
    columns = set(reader.fieldnames or ())
    rows = [{name: (value or "").strip() for name, value in row.items() if name} for row in reader]
    if {"Handle", "Title"} <= columns or {"URL handle", "Title"} <= columns:
        yield from _shopify(rows)
    elif {"Type", "SKU", "Regular price"} <= columns:
        yield from _woocommerce(rows)
    else:
        raise FileInvalid(
            "line 1: neither the columns of a Shopify export (Handle, Title, ...) nor of WooCommerce's"
        )


def _any(row: Mapping[str, str], *names: str) -> str:
    return next((row[name] for name in names if row.get(name)), "")


def _price(text: str, *, line: int) -> str:
    try:
        return f"{Decimal(text or '0'):.2f}"
    except InvalidOperation:
        raise FileInvalid(f"line {line}: {text!r} is no price") from None


def _whole(text: str) -> int:
    return int(text) if text.lstrip("-").isdecimal() else 0


def _shopify(rows: list[dict[str, str]]) -> Iterator[NewProduct]:
    groups: dict[str, list[tuple[int, dict[str, str]]]] = {}
    for line, row in enumerate(rows, start=2):
        handle = _any(row, "Handle", "URL handle")
        if handle:
            groups.setdefault(handle, []).append((line, row))
    for handle, lines in groups.items():
        first = lines[0][1]
        names = tuple(
            name for n in OPTIONS if (name := _any(first, f"Option{n} Name", f"Option{n} name"))
        ) or ("Title",)
        images = {
            src: _any(row, "Image Alt Text", "Image alt text")
            for _, row in lines
            if (src := _any(row, "Image Src", "Product image URL"))
        }
        yield NewProduct(
            title=_any(first, "Title") or handle,
            handle=handle,
            option_names=names,
            body_html=_any(first, "Body (HTML)", "Description"),
            vendor=_any(first, "Vendor"),
            product_type=_any(first, "Type"),
            tags=tuple(tag.strip() for tag in first.get("Tags", "").split(",") if tag.strip()),
            status=_any(first, "Status").lower() or "active",
            images=tuple(images.items()),
            variants=tuple(
                _shopify_variant(row, len(names), line=line)
                for line, row in lines
                if _any(row, "Variant Price", "Price")
            )
            or (NewVariant(price="0.00"),),
        )


def _shopify_variant(row: Mapping[str, str], options: int, *, line: int) -> NewVariant:
    values = tuple(
        _any(row, f"Option{n} Value", f"Option{n} value") or "Default Title" for n in OPTIONS[:options]
    )
    compare_at = _any(row, "Variant Compare At Price", "Compare-at price")
    return NewVariant(
        price=_price(_any(row, "Variant Price", "Price"), line=line),
        options=values,
        sku=_any(row, "Variant SKU", "SKU").lstrip("'"),
        barcode=_any(row, "Variant Barcode", "Barcode").lstrip("'"),
        compare_at=_price(compare_at, line=line) if compare_at else None,
        stock=_whole(_any(row, "Variant Inventory Qty", "Inventory quantity")),
        deny=_any(row, "Variant Inventory Policy", "Continue selling when out of stock").lower()
        not in ("continue", "true"),
        image=_any(row, "Variant Image", "Variant image URL"),
    )


def _woocommerce(rows: list[dict[str, str]]) -> Iterator[NewProduct]:
    children: dict[str, list[tuple[int, dict[str, str]]]] = {}
    for line, row in enumerate(rows, start=2):
        if row.get("Type", "").startswith("variation"):
            children.setdefault(row.get("Parent", ""), []).append((line, row))
    for line, row in enumerate(rows, start=2):
        kind = row.get("Type", "").partition(",")[0]
        if kind not in ("simple", "variable"):
            continue
        own = children.get(row.get("SKU", ""), []) or children.get(f"id:{row.get('ID', '')}", [])
        names = tuple(name for n in OPTIONS if (name := row.get(f"Attribute {n} name", "")))
        sources = [src.strip() for src in row.get("Images", "").split(",") if src.strip()]
        variants: tuple[NewVariant, ...]
        if kind == "variable" and own and names:
            variants = tuple(one for at, child in own for one in _woo_variants(child, row, names, line=at))
        else:
            names, variants = ("Title",), (_woo_variant(row, ("Default Title",), line=line),)
        yield NewProduct(
            title=row.get("Name", ""),
            option_names=names,
            body_html=row.get("Description", ""),
            vendor=row.get("Brands", ""),
            product_type=row.get("Categories", "").partition(",")[0],
            tags=tuple(tag.strip() for tag in row.get("Tags", "").split(",") if tag.strip()),
            status="active" if row.get("Published", "1") == "1" else "draft",
            images=tuple((src, "") for src in sources),
            variants=variants,
        )


def _woo_variants(
    child: Mapping[str, str], parent: Mapping[str, str], names: tuple[str, ...], *, line: int
) -> Iterator[NewVariant]:
    """An attribute that a variation leaves open ("any") stands for the first of the parent's values."""
    choices = []
    for n in OPTIONS[: len(names)]:
        value = child.get(f"Attribute {n} value(s)", "")
        choices.append(
            [value or parent.get(f"Attribute {n} value(s)", "").partition(",")[0].strip() or "Any"]
        )
    for options in combinations(*choices):
        yield _woo_variant(child, options, line=line)


def _woo_variant(row: Mapping[str, str], options: tuple[str, ...], *, line: int) -> NewVariant:
    regular, sale = row.get("Regular price", ""), row.get("Sale price", "")
    stock = row.get("Stock", "")
    return NewVariant(
        price=_price(sale or regular, line=line),
        options=options,
        sku=row.get("SKU", ""),
        barcode=row.get("GTIN, UPC, EAN, or ISBN", ""),
        compare_at=_price(regular, line=line) if sale and regular else None,
        stock=_whole(stock) if stock else (10 if row.get("In stock?", "1") == "1" else 0),
        tracked=bool(stock),
        deny=row.get("Backorders allowed?", "0") != "1",
    )
