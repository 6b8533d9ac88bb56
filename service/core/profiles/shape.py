"""What a profile keeps beside its totals: only what some segment asks for, so that it stays small."""

from __future__ import annotations

from dataclasses import dataclass, field

from service.core.criteria.fields import Purchase, PurchaseKey
from service.core.criteria.needs import Needs


@dataclass(frozen=True)
class Shape:
    """A growing list of things kept. A profile of an older shape is refolded from its facts.

    Attributes:
        version: rises whenever the shape grows.
        purchases: the products and categories whose latest purchase is kept; an index never changes its meaning.
        window_max: how long entries of orders are kept, in microseconds.
    """

    version: int = 0
    purchases: tuple[PurchaseKey, ...] = ()
    window_max: int = 0
    places: dict[PurchaseKey, int] = field(init=False, compare=False, repr=False)
    products: dict[str, int] = field(init=False, compare=False, repr=False)
    categories: dict[str, int] = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        places = {key: index for index, key in enumerate(self.purchases)}
        object.__setattr__(self, "places", places)
        for name, kind in (("products", Purchase.PRODUCT), ("categories", Purchase.CATEGORY)):
            object.__setattr__(self, name, {key.name: place for key, place in places.items() if key.kind == kind})

    def grown_for(self, needs: Needs) -> Shape:
        """This shape if it keeps all that is needed, else the next one, which does."""
        missing = tuple(key for key in needs.purchases if key not in self.places)
        window_max = max((self.window_max, *needs.windows))
        if not missing and window_max == self.window_max:
            return self
        return Shape(self.version + 1, self.purchases + missing, window_max)
