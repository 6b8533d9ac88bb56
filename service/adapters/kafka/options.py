"""How this service connects to Kafka, for every client alike."""

from __future__ import annotations

import ssl
from typing import Any, Final

from service.settings import Settings, SettingsError

#: Largest record of an input topic (CONTRACT section 7).
MESSAGE_BYTES_MAX: Final = 33_554_432


def connection_options(settings: Settings) -> dict[str, Any]:
    """Keyword arguments that aiokafka's consumer, producer and admin client share.

    Raises:
        SettingsError: naming the variable that is missing or cannot be used.
    """
    if not settings.kafka_bootstrap:
        msg = "SEGMENTS_KAFKA_BOOTSTRAP: is not set; name a broker such as kafka:9092, or run `segments up`"
        raise SettingsError(msg)
    options: dict[str, Any] = {
        "bootstrap_servers": settings.kafka_bootstrap,
        "security_protocol": settings.kafka_security_protocol,
    }
    if settings.kafka_security_protocol.endswith("SSL"):
        options["ssl_context"] = _ssl_context(settings)
    if settings.kafka_security_protocol.startswith("SASL"):
        if not settings.sasl_username or settings.sasl_password is None:
            msg = "SEGMENTS_SASL_USERNAME and SEGMENTS_SASL_PASSWORD: are needed with SASL"
            raise SettingsError(msg)
        options["sasl_mechanism"] = settings.sasl_mechanism
        options["sasl_plain_username"] = settings.sasl_username
        options["sasl_plain_password"] = settings.sasl_password.get_secret_value()
    return options


def _ssl_context(settings: Settings) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=settings.ssl_cafile)
        if settings.ssl_certfile:
            context.load_cert_chain(settings.ssl_certfile, settings.ssl_keyfile)
    except OSError as error:
        msg = f"SEGMENTS_SSL_CAFILE, SEGMENTS_SSL_CERTFILE, SEGMENTS_SSL_KEYFILE: cannot be read: {error}"
        raise SettingsError(msg) from None
    return context
