"""What the routes work with; made once by build_app and passed along on the application."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

from fastapi import Request

from service.adapters.postgres.database import Database
from service.api.limits import RateLimit
from service.app.tokens import TokenRules
from service.bootstrap import Batches
from service.clock import Clock

#: Each export holds a connection for as long as the client reads.
EXPORTS_AT_ONCE_MAX: Final = 2
#: Each import holds some thousand customers at a time.
IMPORTS_AT_ONCE_MAX: Final = 2
#: Each refresh reads the facts of everybody.
REFRESHES_AT_ONCE_MAX: Final = 1

BrokerCheck = Callable[[], Awaitable[None]]


@dataclass(frozen=True)
class Services:
    """The outside, as far as the API needs it; `broker_check` raises where the broker is out of reach."""

    database: Database
    batches: Batches
    clock: Clock
    tokens: TokenRules
    broker_check: BrokerCheck
    rate_limit: RateLimit
    exports: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(EXPORTS_AT_ONCE_MAX))
    imports: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(IMPORTS_AT_ONCE_MAX))
    refreshes: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(REFRESHES_AT_ONCE_MAX))


def services_of(request: Request) -> Services:
    """The services of the application that this request came to."""
    services = request.app.state.services
    assert isinstance(services, Services)  # noqa: S101 - build_app put it there
    return services
