"""The ways out that the settings name: messages of all other channels leave by the topic."""

from __future__ import annotations

from producers.deciding import LEASE_SECONDS
from producers.sending import Sender
from service.adapters.http.webhooks import webhook_transport
from service.adapters.mail.smtp import smtp_transport
from service.app.dispatch.rates import Rates
from service.bootstrap import Runtime
from service.core.campaigns.model import CHANNELS


def ways_out(runtime: Runtime) -> tuple[dict[str, Sender], Rates]:
    """Senders by channel, and how fast messages may leave.

    Raises:
        SettingsError: a setting of a transport cannot be used.
    """
    settings = runtime.settings
    rates = Rates(
        {channel: getattr(settings, f"{channel}_per_second_max") for channel in CHANNELS},
        {"email": settings.email_per_domain_per_second_max},
    )
    senders = {}
    mail = smtp_transport(settings)
    if mail is not None:
        senders["email"] = Sender(runtime, "email", mail, "smtp", rates, LEASE_SECONDS)
    for channel in CHANNELS:
        webhook = webhook_transport(settings, channel)
        if webhook is not None:
            senders[channel] = Sender(runtime, channel, webhook, "webhook", rates, LEASE_SECONDS)
    return senders, rates
