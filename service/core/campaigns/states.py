"""States of campaigns and of their messages, and which may follow which."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final


class State(StrEnum):
    """Of a campaign."""

    DRAFT = "draft"
    SCHEDULED = "scheduled"
    SENDING = "sending"
    ACTIVE = "active"
    PAUSED = "paused"
    SENT = "sent"
    CANCELLED = "cancelled"
    FAILED = "failed"


#: What the guide's clients see of a state.
STATUS: Final[Mapping[State, str]] = {
    State.DRAFT: "draft",
    State.SCHEDULED: "scheduled",
    State.SENDING: "scheduled",
    State.ACTIVE: "scheduled",
    State.PAUSED: "scheduled",
    State.SENT: "sent",
    State.CANCELLED: "cancelled",
    State.FAILED: "cancelled",
}
NEXT: Final[Mapping[State, frozenset[State]]] = {
    State.DRAFT: frozenset({State.SCHEDULED, State.ACTIVE, State.CANCELLED}),
    State.SCHEDULED: frozenset({State.DRAFT, State.SENDING, State.CANCELLED, State.FAILED}),
    State.SENDING: frozenset({State.PAUSED, State.SENT, State.CANCELLED, State.FAILED}),
    State.ACTIVE: frozenset({State.PAUSED, State.SENT, State.CANCELLED}),
    State.PAUSED: frozenset({State.SENDING, State.ACTIVE, State.CANCELLED}),
    State.SENT: frozenset({State.SENDING}),  # whoever delivers asks for a message again
    State.CANCELLED: frozenset(),
    State.FAILED: frozenset(),
}
#: Messages of these may leave.
LIVE: Final = (State.SENDING, State.ACTIVE)
FINAL: Final = (State.SENT, State.CANCELLED, State.FAILED)
#: Nothing of these leaves any more; what was sent goes on where a message of it is asked for again.
GIVEN_UP: Final = (State.CANCELLED, State.FAILED)


class Message(StrEnum):
    """Of a message: one customer, one campaign, one occasion."""

    PENDING = "pending"
    DEFERRED = "deferred"
    LEASED = "leased"
    SENT = "sent"
    CONTROL = "control"
    SUPPRESSED = "suppressed"
    FAILED = "failed"
    DEAD = "dead"
    UNCERTAIN = "uncertain"


#: Waiting for their time.
WAITING: Final = (Message.PENDING, Message.DEFERRED)
#: Nothing more will be done about them.
SETTLED: Final = tuple(one for one in Message if one not in (*WAITING, Message.LEASED))
#: Count against frequency caps.
COUNTED: Final = (Message.SENT, Message.UNCERTAIN)
