"""The HTTP application."""

from __future__ import annotations

from importlib.metadata import version
from typing import Final

from fastapi import FastAPI

from service.adapters.jwks import KeySet
from service.adapters.kafka.watch import BrokerWatch
from service.adapters.measures import Measures
from service.adapters.postgres.database import Database
from service.api import (
    analytics,
    asyncapi,
    backfills,
    campaign_actions,
    campaign_performance,
    campaign_preview,
    campaign_recipients,
    campaign_tests,
    campaigns,
    customers,
    details,
    docs,
    events,
    explain,
    exports,
    flows,
    health,
    history,
    imports,
    letters,
    live,
    members,
    metrics,
    overlap,
    pins,
    preview,
    refresh,
    segments,
    tracking,
)
from service.api.auth import check_routes
from service.api.campaign_rules import CampaignRules
from service.api.errors import add_error_handlers
from service.api.limits import RateLimit
from service.api.middlewares import add_middlewares
from service.api.questions import Questions
from service.api.services import BrokerCheck, Services
from service.api.traffic import NoteRoute, Observed, Traffic
from service.app.tokens import TokenRules
from service.bootstrap import open_batches
from service.clock import Clock
from service.settings import Settings, SettingsError

#: In this order: letters, customers, overlap, flows and campaigns before segments, whose /{segment} would take them for
#: an id.
PARTS: Final = (
    health,
    metrics,
    docs,
    asyncapi,
    events,
    letters,
    customers,
    overlap,
    flows,
    campaign_actions,
    campaign_performance,
    campaign_preview,
    campaign_recipients,
    campaign_tests,
    campaigns,
    segments,
    details,
    backfills,
    refresh,
    members,
    exports,
    imports,
    pins,
    history,
    analytics,
    live,
    explain,
    preview,
    tracking,
)


def token_rules(settings: Settings) -> TokenRules:
    """What tokens must agree with.

    Raises:
        SettingsError: there is nothing to check them with.
    """
    if settings.jwt_secret is None and settings.jwks_url is None:
        msg = "SEGMENTS_JWT_SECRET: must be set, to a secret of at least 32 bytes; or SEGMENTS_JWKS_URL, to public keys"
        raise SettingsError(msg)
    keys = None if settings.jwks_url is None else KeySet(settings.jwks_url)
    return TokenRules(settings.jwt_secret, settings.jwt_issuer, settings.jwt_audience, keys)


def build_app(settings: Settings, database: Database, clock: Clock, broker_check: BrokerCheck) -> FastAPI:
    """The application with all its routes.

    Args:
        settings: of these the JWT_* ones, the names of topics, the limits of profiles and of questions.
        database: stays the caller's to close.
        clock: gives the instants at which definitions change.
        broker_check: raises where the broker is out of reach; asked by /readyz alone.

    Raises:
        SettingsError: there is nothing to check tokens with.
        RouteWithoutPermission: a route forgot to say who may use it.
    """
    app = FastAPI(
        title="customer-segments",
        version=version("customer-segments"),
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
    )
    limit = RateLimit(settings.requests_per_second_max)
    app.state.services = Services(
        database, open_batches(settings, database), clock, token_rules(settings), broker_check, limit
    )
    app.state.settings, app.state.traffic, app.state.broker = settings, Traffic(), BrokerWatch(settings)
    app.state.measures = Measures(settings, database, clock, app.state.broker)
    app.state.questions = Questions.of(settings)
    app.state.campaigns = CampaignRules.of(settings)
    app.state.campaign_tests = campaign_tests.Trials.of(settings)
    app.state.redriving = letters.Redriving.of(settings)
    app.state.intake = events.Intake.of(settings)
    app.state.live = live.open_hub(settings)
    app.state.tracking = tracking.Tracking.of(settings, database)
    for part in PARTS:
        app.include_router(part.router)
    add_error_handlers(app)
    app.add_middleware(NoteRoute)
    add_middlewares(app, settings.origins)
    app.add_middleware(Observed, traffic=app.state.traffic)
    check_routes(app)
    return app
