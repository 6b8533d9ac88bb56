"""The profile: what is known of one customer, kept incrementally; a fold of that customer's facts."""

from __future__ import annotations

from uuid import UUID

from service.core.events.model import (
    Activity,
    CustomerData,
    Event,
    Item,
    LoggedIn,
    OrderCancelled,
    OrderPlaced,
    OrderRefunded,
    OrderUpdated,
    Registered,
)
from service.core.instants import MISSING
from service.core.profiles.attributes import Attributes, set_attributes, value_of
from service.core.profiles.behaviour import ORDERS, Behaviour, last_to_leave
from service.core.profiles.entries import Entries
from service.core.profiles.ledger import ActivityFact, Change, Contribution, Ledger, LedgerIncomplete, fact_of
from service.core.profiles.sequences import NEVER
from service.core.profiles.shape import Shape


class Profile:
    """One customer. Instants are microseconds (MISSING where there is none), money is minor units.

    Attributes:
        evaluated_to: the latest instant at which membership was evaluated; it never goes back.
        born, mark: catalogue versions at which the customer came to be and was last brought up to date.
        shape_version: the shape that entries and purchases were folded for.
        entries: counting orders and refunds without order, ascending, as far back as windows reach.
        bought: index in the shape -> the latest counting order that holds it.
        attributes: name -> (value, stamp of the event that set it); None = set to missing.
        behaviour: what is kept of activities and sequences.
        pending: events whose time has not come, ascending.
        pins: slot -> whether the customer is included or excluded by hand, whatever the criteria say.
        held: slot -> the instant of a change by hand; the membership does not change at earlier ones.
        over: kinds of entries of which there are more than are kept -> the instant at which to look again.
        ordinals: per slot how many transitions there were; odd = member now.
    """

    __slots__ = (
        "_refolded",
        "attributes",
        "behaviour",
        "born",
        "bought",
        "customer_id",
        "entries",
        "evaluated_to",
        "external_id",
        "first_seen_at",
        "has_new_attributes",
        "held",
        "is_erased",
        "is_new",
        "last_login_at",
        "last_order_at",
        "mark",
        "ordinals",
        "over",
        "pending",
        "pins",
        "registered_at",
        "shape_version",
        "total_orders",
        "total_spent",
    )

    def __init__(self, customer_id: UUID, external_id: str) -> None:
        self.customer_id = customer_id
        self.external_id = external_id
        self.first_seen_at = self.registered_at = self.last_login_at = self.last_order_at = MISSING
        self.evaluated_to = MISSING
        self.born = self.mark = self.shape_version = 0
        self.total_orders = self.total_spent = 0
        self.entries = Entries([], [], [])
        self.bought: dict[int, int] = {}
        self.attributes: Attributes = {}
        self.behaviour = Behaviour()
        self.pending: list[Event] = []
        self.pins: dict[int, bool] = {}
        self.held: dict[int, int] = {}
        self.over: dict[int, int] = {}
        self.ordinals = b""
        #: Since the last refold, if any: `evaluated_to` and `over` as they were before it.
        self._refolded: tuple[int, dict[int, int]] | None = None
        self.is_new = self.is_erased = self.has_new_attributes = False

    def attribute(self, field: str) -> object:
        """The value of a criteria field such as customer_type, country or traits.class; None where missing."""
        return value_of(self.attributes, field)

    def apply(self, event: Event, ledger: Ledger, shape: Shape) -> None:
        """Folds one event in. The order of events does not matter to the state they end in.

        Raises:
            LedgerIncomplete: the latest order or purchase was taken away and the next one is not at hand.
        """
        data = event.data
        if self.first_seen_at == MISSING or event.at < self.first_seen_at:
            self.first_seen_at = event.at
        if isinstance(data, OrderPlaced | OrderUpdated | OrderCancelled | OrderRefunded):
            for change in ledger.apply(fact_of(event)):
                self._exchange(change, ledger, shape)
        elif isinstance(data, Activity):
            if data.name in shape.streams:
                fact = fact_of(event)
                assert isinstance(fact, ActivityFact)  # noqa: S101 - that is what an activity carries
                self.behaviour.apply(fact, shape, ledger, self.over, self.evaluated_to)
        elif isinstance(data, CustomerData):
            if isinstance(data, Registered) and (self.registered_at == MISSING or event.at < self.registered_at):
                self.registered_at = event.at
            self.has_new_attributes |= set_attributes(self.attributes, event, data)
        elif isinstance(data, LoggedIn):
            self.last_login_at = max(self.last_login_at, event.at)

    def _exchange(self, change: Change, ledger: Ledger, shape: Shape) -> None:
        """Takes an old contribution out and puts the new one in."""
        before, after = change
        if before == after:
            return
        if before is not None:
            self._count(before, -1)
            self.entries.drop(before.at, before.amount, int(before.is_order))
        if after is not None:
            self._count(after, 1)
            if ORDERS not in self.over:
                self.entries.put(after.at, after.amount, int(after.is_order))
        self._occur(before, after, ledger, shape)
        if after is not None and after.is_order:
            self.last_order_at = max(self.last_order_at, after.at)
            self._note_purchases(after.at, after.items, shape)
        if before is not None and before.is_order:
            self._retract(before, after, ledger, shape)

    def _occur(self, before: Contribution | None, after: Contribution | None, ledger: Ledger, shape: Shape) -> None:
        """Tells sequences of an order that began or ceased to count, or got another date."""
        was = before.at if before is not None and before.is_order else None
        now = after.at if after is not None and after.is_order else None
        if not shape.order_steps or was == now:
            return
        for place, mask in shape.order_steps:
            if was is not None:
                self.behaviour.occur(place, was, mask, shape, ledger, self.over, -1)
            if now is not None:
                self.behaviour.occur(place, now, mask, shape, ledger, self.over)

    def _count(self, contribution: Contribution, sign: int) -> None:
        self.total_spent += sign * contribution.amount
        if contribution.is_order:
            self.total_orders += sign

    def _note_purchases(self, at: int, items: list[Item], shape: Shape) -> None:
        if not shape.places:
            return
        for place in places_of(items, shape):
            if at > self.bought.get(place, MISSING):
                self.bought[place] = at

    def _retract(self, before: Contribution, after: Contribution | None, ledger: Ledger, shape: Shape) -> None:
        """Mends what the old contribution alone may have held up: the latest order and latest purchases."""
        stays = after is not None and after.at >= before.at
        if not stays and before.at == self.last_order_at:
            self.last_order_at = self._latest_order(ledger, shape)
        kept = places_of(after.items, shape) if stays and after is not None else ()
        for place in places_of(before.items, shape):
            if place not in kept and self.bought.get(place) == before.at:
                if not ledger.is_complete and self.total_orders:
                    raise LedgerIncomplete
                self._recall_purchase(place, ledger, shape)

    def _latest_order(self, ledger: Ledger, shape: Shape) -> int:
        if not self.total_orders:
            return MISSING
        # Entries are complete after this horizon only: before it some were trimmed and late ones put in again.
        latest = self.entries.latest_order()
        if latest != MISSING and latest > self.evaluated_to - shape.window_max:
            return latest
        if ledger.is_complete:
            return max(entry.at for entry in ledger.contributions() if entry.is_order)
        raise LedgerIncomplete

    def _recall_purchase(self, place: int, ledger: Ledger, shape: Shape) -> None:
        found = (
            entry.at for entry in ledger.contributions() if entry.is_order and place in places_of(entry.items, shape)
        )
        latest = max(found, default=MISSING) if self.total_orders else MISSING
        if latest == MISSING:
            self.bought.pop(place, None)
        else:
            self.bought[place] = latest

    def refold(self, ledger: Ledger, shape: Shape) -> None:
        """Folds totals, entries and purchases anew from a complete ledger, for this shape.

        What no window reaches from `evaluated_to` on is not kept; in the order of time, each is put behind the others.
        """
        self.total_orders = self.total_spent = 0
        self.last_order_at = MISSING
        self.entries = Entries([], [], [])
        self.bought = {}
        self.behaviour = Behaviour()
        self._refolded = self.evaluated_to, self.over
        self.over = {}
        horizon = self.evaluated_to - shape.window_max
        told: list[ActivityFact | Contribution] = [*ledger.activities, *ledger.contributions()]
        told.sort(key=_at)
        for one in told:
            if isinstance(one, ActivityFact):
                self.behaviour.apply(one, shape, ledger, self.over, self.evaluated_to)
                continue
            self._count(one, 1)
            if one.at > horizon:
                self.entries.put(one.at, one.amount, int(one.is_order))
            if one.is_order:
                self.last_order_at = max(self.last_order_at, one.at)
                self._note_purchases(one.at, one.items, shape)
            self._occur(None, one, ledger, shape)
        self.shape_version = shape.version

    def trim(self, shape: Shape, entries_max: int) -> None:
        """Forgets entries that no window can reach any more; of a kind with more than `entries_max` left, all."""
        self._hold_over()
        self.entries.trim(self.evaluated_to - shape.window_max)
        instants = self.entries.instants
        if len(instants) > entries_max:
            self.over[ORDERS] = last_to_leave(instants, entries_max) + shape.window_max
            self.entries.clear()
        behaviour = self.behaviour
        if behaviour.series or behaviour.occurrences:
            behaviour.trim(shape, self.evaluated_to, entries_max, self.over.__setitem__)

    def _hold_over(self) -> None:
        """Who was over a limit stays so where nothing was evaluated since the refold: memberships stand still yet."""
        if self._refolded is not None and self._refolded[0] == self.evaluated_to:
            for kind, retry_at in self._refolded[1].items():
                self.over[kind] = retry_at
                if kind == ORDERS:
                    self.entries.clear()
                else:
                    self.behaviour.forget(kind)
        self._refolded = None

    @property
    def retry_at(self) -> int:
        """The instant to look again at a kind of which there were too many entries; NEVER if there is none."""
        return min(self.over.values(), default=NEVER)


def _at(one: ActivityFact | Contribution) -> int:
    return one.at


def places_of(items: list[Item], shape: Shape) -> set[int]:
    """Places in the shape of the products and categories that these items hold."""
    found = set()
    products, categories = shape.products, shape.categories
    if categories:
        found = {categories[item.category] for item in items if item.category in categories}
    if products:
        found |= {products[item.product_id] for item in items if item.product_id in products}
    return found
