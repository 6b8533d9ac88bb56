"""Order Completed, Updated, Cancelled and Refunded after the Segment specification."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Context, Decimal
from typing import Any, Final

from service.core.events.check import Fault
from service.core.events.upstream.fields import Fields, informative, quantity

#: What the specification says of an amount without a currency.
CURRENCY: Final = "USD"
_EXACT: Final = Context(prec=100)
_NO_PRICE: Final = "is no price with a quantity; without it nobody knows how much of the order went back"


def placed(properties: Fields, message: str) -> tuple[str, dict[str, Any]]:
    """Order Completed: total, else revenue, else value."""
    total = properties.first("total", "revenue", "value")
    if total is None:
        raise Fault(f"{properties.at('total')}: is missing; an order needs total or revenue.")
    data = {"order_id": properties.needed_id("order_id"), "currency": _currency(properties), "total": total}
    if "products" in properties.values:
        data["items"] = _items(properties)
    return "order.placed", data | _codes(properties)


def updated(properties: Fields, message: str) -> tuple[str, dict[str, Any]]:
    """Order Updated: only what it names."""
    data: dict[str, Any] = {"order_id": properties.needed_id("order_id")}
    total = properties.first("total", "revenue", "value")
    if total is not None:
        data |= {"currency": _currency(properties), "total": total}
    if properties.values.get("products") is not None:
        data["items"] = _items(properties)
    return "order.updated", data | _codes(properties)


def cancelled(properties: Fields, message: str) -> tuple[str, dict[str, Any]]:
    """Order Cancelled."""
    return "order.cancelled", {"order_id": properties.needed_id("order_id")}


def refunded(properties: Fields, message: str) -> tuple[str, dict[str, Any]]:
    """Order Refunded, in full where it names neither amount nor products; named by refund_id, else by its message."""
    data = {
        "order_id": properties.needed_id("order_id"),
        "refund_id": properties.id("refund_id") or message,
        "currency": _currency(properties),
    }
    amount = properties.first("total", "refund_amount", "revenue", "value")
    if amount is not None:
        return "order.refunded", data | {"amount": _without_sign(amount)}
    products = properties.parts("products")
    return "order.refunded", data | {"amount": _of_products(products) if products else "full"}


def _without_sign(amount: Any) -> Any:
    """Some senders write what goes back below zero; it is a refund either way."""
    if isinstance(amount, str):
        return amount.removeprefix("-")
    return abs(amount) if isinstance(amount, int | Decimal) and not isinstance(amount, bool) else amount


def _of_products(products: Iterable[Fields]) -> str:
    """The exact sum of price times quantity of the products that went back.

    Raises:
        Fault: one has no price.
    """
    amount = Decimal(0)
    for product in products:
        pieces = product.first("quantity")
        price, count = informative(product.first("price")), informative(1 if pieces is None else pieces)
        if price is None or count is None:
            raise Fault(f"{product.at('price')}: {_NO_PRICE}.")
        amount = _EXACT.add(amount, _EXACT.multiply(Decimal(price), Decimal(count)))
    return str(amount)


def _currency(properties: Fields) -> str:
    return (properties.text("currency") or CURRENCY).upper()


def _items(properties: Fields) -> list[dict[str, Any]]:
    items = []
    for product in properties.parts("products"):
        product_id = product.id("product_id", "productId", "sku", "name")
        if product_id is None:
            continue
        item: dict[str, Any] = {"product_id": product_id}
        found = {
            "category": product.text("category"),
            "quantity": quantity(product.first("quantity")),
            "unit_price": informative(product.first("price")),
        }
        items.append(item | {name: value for name, value in found.items() if value is not None})
    return items


def _codes(properties: Fields) -> dict[str, Any]:
    """`discount_codes`: the order's coupon with its discount, then those of its products; nothing without any."""
    codes: dict[str, dict[str, Any]] = {}
    coupon = properties.text("coupon")
    if coupon:
        amount = informative(properties.first("discount"))
        codes[coupon] = {"code": coupon} | ({} if amount is None else {"amount": amount})
    for product in properties.parts("products"):
        of_product = product.text("coupon")
        if of_product:
            codes.setdefault(of_product, {"code": of_product})
    return {"discount_codes": list(codes.values())} if codes else {}
