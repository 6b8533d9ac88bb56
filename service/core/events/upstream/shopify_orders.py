"""Shopify's orders and refunds. Each webhook is a snapshot of the whole order; the newest `updated_at` wins.

A snapshot becomes order.placed at the order's own date and order.updated at the snapshot's, so that it does not matter
which webhooks a shop subscribes to, in which order they come, or how often.
"""

from __future__ import annotations

import re
from datetime import datetime
from decimal import Context, Decimal
from typing import Any, Final

from service.core.events.check import Fault
from service.core.events.upstream.fields import Mapped, ShopFields, content_id, informative, quantity

#: orders/create tells best what was placed: at one instant a sequence comes after none.
CREATION: Final = "create"
_EXACT: Final = Context(prec=100)
_AMOUNT: Final = re.compile(r"[0-9]{1,10}(\.[0-9]{1,10})?")
#: Digits of a refund's amount in its sequence: of two states of one refund the larger has more paid back.
_AMOUNT_DIGITS: Final = 24


def snapshot(body: ShopFields, *, is_creation: bool) -> list[Mapped]:
    """An order as it was at its `updated_at`, with its cancellation and its refunds.

    Raises:
        Fault: naming the field that cannot be used.
    """
    order_id = body.needed_id("id", "admin_graphql_api_id")
    customer_id = body.part("customer").id("id", "admin_graphql_api_id")
    placed_at = body.time("processed_at", "created_at")
    if placed_at is None:
        raise Fault("created_at: is missing.")
    updated_at = max(body.time("updated_at") or placed_at, placed_at)
    total = body.first("total_price")
    if total is None:
        raise Fault("total_price: is missing.")
    data: dict[str, Any] = {
        "order_id": order_id,
        "customer_id": customer_id,
        "currency": body.text("currency"),
        "total": total,
        "items": _items(body),
        "discount_codes": _codes(body),
    }
    prefix = f"shopify:order:{order_id}"
    sequence = CREATION if is_creation else None
    placed = data | ({"test": True} if body.values.get("test") is True else {})
    placed_id = content_id(prefix, "placed", placed_at, placed, sequence)
    events = [Mapped("order.placed", placed_id, placed_at, placed, sequence)]
    status = body.text("financial_status")
    if updated_at > placed_at:
        updated = data | {"status": status}
        updated_id = content_id(prefix, "updated", updated_at, updated)
        events.append(Mapped("order.updated", updated_id, updated_at, updated))
    cancelled_at = body.time("cancelled_at") or (updated_at if status == "voided" else None)
    if cancelled_at is not None:
        events.append(cancellation(order_id, customer_id, cancelled_at))
    currency = data["currency"] or ""
    events += [refund(one, order_id, customer_id, currency) for one in body.parts("refunds")]
    return events


def cancellation(order_id: str, customer_id: str | None, at: datetime) -> Mapped:
    """The order counts no more."""
    data = {"order_id": order_id, "customer_id": customer_id}
    return Mapped("order.cancelled", content_id(f"shopify:order:{order_id}", "cancelled", at, data), at, data)


def refund(body: ShopFields, order_id: str, customer_id: str | None, currency: str) -> Mapped:
    """What a refund has paid back so far: its transactions of kind refund that succeeded.

    Args:
        body: of refunds/create, or one of an order's `refunds`.
        order_id: of the order.
        customer_id: None for a guest.
        currency: where there is no such transaction.

    Raises:
        Fault: naming the field that cannot be used.
    """
    refund_id = body.needed_id("id", "admin_graphql_api_id")
    at = body.time("processed_at", "created_at")
    if at is None:
        raise Fault(f"{body.at('created_at')}: is missing.")
    amount, currency = _paid_back(body, currency)
    data = {
        "refund_id": refund_id,
        "order_id": order_id,
        "customer_id": customer_id,
        "currency": currency,
        "amount": str(amount),
    }
    sequence = format(amount, ".10f").zfill(_AMOUNT_DIGITS)
    event_id = content_id(f"shopify:refund:{refund_id}", "refunded", at, data, sequence)
    return Mapped("order.refunded", event_id, at, data, sequence)


def _paid_back(body: ShopFields, currency: str) -> tuple[Decimal, str]:
    """Amount and currency; of an order in two currencies the shop's, where the transaction says it."""
    amount = Decimal(0)
    for one in body.parts("transactions"):
        if one.text("kind") != "refund" or one.text("status") != "success":
            continue
        shop = one.part("amount_set").part("shop_money")
        money = shop if shop.first("amount") is not None else one
        said = money.first("amount")
        text = str(said) if isinstance(said, str | int | Decimal) else ""
        if not _AMOUNT.fullmatch(text):
            raise Fault(f"{money.at('amount')}: must be a number or a decimal string such as 99.90.")
        amount = _EXACT.add(amount, Decimal(text))
        currency = _one_currency(currency, money.text("currency_code", "currency"), money.at("currency"))
    return amount, currency


def _one_currency(known: str, said: str | None, path: str) -> str:
    if said is not None and known and said.upper() != known.upper():
        raise Fault(f"{path}: {said[:20]!r} is not the order's {known[:20]}.", "wrong_currency")
    return said or known


def _items(body: ShopFields) -> list[dict[str, Any]]:
    items = []
    for line in body.parts("line_items"):
        pieces = quantity(line.first("quantity"))
        if pieces == 0:
            continue
        # What is sold without a product in the catalogue has a sku or at least a title.
        product_id = line.id("product_id", "sku", "title", "name", "id")
        if product_id is None:
            continue
        item: dict[str, Any] = {"product_id": product_id}
        found = {
            "category": line.text("category", "product_type"),
            "quantity": pieces,
            "unit_price": informative(line.first("price")),
        }
        items.append(item | {name: value for name, value in found.items() if value is not None})
    return items


def _codes(body: ShopFields) -> list[dict[str, Any]]:
    codes = []
    for one in body.parts("discount_codes"):
        code, amount = one.id("code"), informative(one.first("amount"))
        if code is not None:
            codes.append({"code": code} | ({} if amount is None else {"amount": amount}))
    return codes
