"""Every setting, read once from the environment (prefix SEGMENTS_), checked, then passed on as arguments."""

from __future__ import annotations

import re
from base64 import b64decode
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import AliasChoices, BeforeValidator, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from service.crash import read_crash_at

TOPIC_NAME = re.compile(r"[a-zA-Z0-9._-]{1,200}")
HTTP_URL = re.compile(r"https?://[^\s/]+(/\S*)?")
SMTP_URL = re.compile(r"(smtp|smtps|smtp\+starttls)://([^@/\s]+@)?[^@/:\s]+(:[0-9]{1,5})?/?")
ORIGIN = re.compile(r"https?://[a-zA-Z0-9.-]+(:[0-9]{1,5})?")


#: The settings that name topics; no two are the same.
TOPICS = ("orders_topic", "customers_topic", "membership_topic", "dead_letter_topic") + (
    "messages_topic",
    "engagement_topic",
)


class SettingsError(Exception):
    """A setting cannot be used."""


def _listed(value: str) -> tuple[str, ...]:
    return tuple(one.strip() for one in value.split(",") if one.strip())


def _blank_is_missing(value: object) -> object:
    return None if value == "" else value


OptionalText = Annotated[str | None, BeforeValidator(_blank_is_missing)]
OptionalSecret = Annotated[SecretStr | None, BeforeValidator(_blank_is_missing)]


class Settings(BaseSettings):
    """All settings; the names outside are these in upper case with the prefix SEGMENTS_."""

    model_config = SettingsConfigDict(env_prefix="SEGMENTS_", extra="ignore", frozen=True)

    database_url: OptionalSecret = None
    kafka_bootstrap: OptionalText = None
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "PLAIN"
    sasl_username: OptionalText = None
    sasl_password: OptionalSecret = None
    ssl_cafile: Path | None = None
    ssl_certfile: Path | None = None
    ssl_keyfile: Path | None = None

    orders_topic: str = "orders"
    customers_topic: str = "customers"
    membership_topic: str = "segment-membership"
    dead_letter_topic: str = "segments-dead-letters"
    messages_topic: str = "campaign-messages"
    engagement_topic: str = "campaign-engagement"
    partitions: int = Field(default=12, ge=1, le=10_000)
    consumer_group: str = Field(default="segments", min_length=1, max_length=200)

    currency: str = Field(default="USD", pattern=r"^[A-Z]{3}$")
    clock: str = "wall"
    event_bytes_max: int = Field(default=1_048_576, ge=1_024, le=33_000_000)
    timer_grace_ms: int = Field(default=200, ge=0, le=60_000)
    timer_hold_seconds_max: float = Field(default=300, gt=0)
    database_silence_seconds_max: float = Field(default=8, gt=0, le=300)
    preview_seconds_max: float = Field(default=30, gt=0, le=3_600)
    backtest_seconds_max: float = Field(default=300, gt=0, le=86_400)
    analytics_timezone: str = "UTC"
    window_entries_max: int = Field(default=10_000, ge=100, le=1_000_000)

    batch_events_max: int = Field(default=16_000, ge=1, le=100_000)
    batch_bytes_max: int = Field(default=67_108_864, ge=1_048_576)
    outbox_rows_max: int = Field(default=10_000, ge=1)
    membership_inline_max: int = Field(default=1_000, ge=0)  # changes of a batch beyond which they are merged later
    membership_lag_seconds_max: float = Field(default=30, ge=0, le=3_600)

    jwt_secret: OptionalSecret = None
    jwks_url: OptionalText = None
    jwt_audience: str = "customer-segments"
    jwt_issuer: str = "customer-segments"

    events_hmac_secret: OptionalSecret = None

    smtp_url: OptionalSecret = None
    smtp_connections_max: int = Field(default=8, ge=1, le=100)
    mail_from: str = "Customer segments <no-reply@localhost>"
    sms_webhook_url: OptionalText = None
    notification_webhook_url: OptionalText = None
    webhook_secret: OptionalSecret = None
    webhook_hosts_allowed: str = ""  # inside one's own network; all others must be public
    public_url: OptionalText = None  # where links in messages lead to this API
    campaign_secret: OptionalSecret = None  # signs links, makes codes, hides suppressed addresses; else jwt_secret
    campaign_timezone: str = "UTC"
    pii_in_messages: bool = True
    confirm_recipients_above: int = Field(default=1_000, ge=0)
    test_domains_allowed: str = ""
    email_per_second_max: int = Field(default=0, ge=0, le=1_000_000)  # 0 for any number, as of the others
    email_per_domain_per_second_max: int = Field(default=0, ge=0, le=1_000_000)
    sms_per_second_max: int = Field(default=0, ge=0, le=1_000_000)
    notification_per_second_max: int = Field(default=0, ge=0, le=1_000_000)

    requests_per_second_max: int = Field(default=500, ge=0, le=1_000_000)  # of each token and process; 0 for any number
    cors_origins: str = ""

    log_format: Literal["json", "console"] = "json"
    otel_exporter_otlp_endpoint: OptionalText = Field(
        default=None,
        # As every program that traces reads it, too.
        validation_alias=AliasChoices("segments_otel_exporter_otlp_endpoint", "otel_exporter_otlp_endpoint"),
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"

    crash_at: OptionalText = None  # for tests alone (service/crash.py)

    @field_validator(*TOPICS)
    @classmethod
    def _topic_name(cls, value: str) -> str:
        if not TOPIC_NAME.fullmatch(value):
            msg = "is no Kafka topic name: use 1 to 200 of the characters a-z A-Z 0-9 . _ -"
            raise ValueError(msg)
        return value

    @field_validator("clock")
    @classmethod
    def _clock(cls, value: str) -> str:
        if value != "wall":
            try:
                instant = datetime.fromisoformat(value)
            except ValueError:
                instant = None
            if instant is None or instant.tzinfo is None:
                msg = 'must be "wall" or an instant with an offset such as 2024-02-29T12:00:00Z'
                raise ValueError(msg)
        return value

    @field_validator("analytics_timezone", "campaign_timezone")
    @classmethod
    def _zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (KeyError, ValueError, OSError):
            msg = "must be an IANA time zone such as UTC or Europe/Berlin"
            raise ValueError(msg) from None
        return value

    @field_validator("jwt_secret", "campaign_secret")
    @classmethod
    def _secret_length(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and len(value.get_secret_value().encode()) < 32:
            msg = "must have at least 32 bytes, as HMAC with SHA-256 asks for (RFC 7518 section 3.2)"
            raise ValueError(msg)
        return value

    @field_validator("events_hmac_secret", "webhook_secret")
    @classmethod
    def _hmac_secret(cls, value: SecretStr | None) -> SecretStr | None:
        text = "" if value is None else value.get_secret_value()
        if value is not None and len(text.encode()) < 32:
            msg = "must have at least 32 bytes"
            raise ValueError(msg)
        if text.startswith("whsec_"):
            try:
                size = len(b64decode(text.removeprefix("whsec_"), validate=True))
            except ValueError:
                size = 0
            if size < 24:
                msg = "must have at least 24 bytes in base64 after whsec_, as Standard Webhooks asks for"
                raise ValueError(msg)
        return value

    @field_validator("jwks_url")
    @classmethod
    def _http_url(cls, value: str | None) -> str | None:
        if value is not None and not HTTP_URL.fullmatch(value):
            msg = "must be the URL of a JWK set, such as https://login.example.com/.well-known/jwks.json"
            raise ValueError(msg)
        return value

    @field_validator("cors_origins")
    @classmethod
    def _origins(cls, value: str) -> str:
        if not all(ORIGIN.fullmatch(one) for one in _listed(value)):
            msg = "must be origins with commas between, such as https://shop.example.com; * is not taken"
            raise ValueError(msg)
        return value

    @field_validator("otel_exporter_otlp_endpoint")
    @classmethod
    def _otlp_url(cls, value: str | None) -> str | None:
        if value is not None and not HTTP_URL.fullmatch(value):
            msg = "must be the URL of an OTLP/HTTP receiver, such as http://collector:4318"
            raise ValueError(msg)
        return value

    @field_validator("sms_webhook_url", "notification_webhook_url", "public_url")
    @classmethod
    def _outside_url(cls, value: str | None) -> str | None:
        if value is not None and not HTTP_URL.fullmatch(value):
            msg = "must be a URL such as https://shop.example.com/hooks"
            raise ValueError(msg)
        return value

    @field_validator("smtp_url")
    @classmethod
    def _smtp_url(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not SMTP_URL.fullmatch(value.get_secret_value()):
            msg = "must be smtp://[user:password@]host[:port], smtps://... or smtp+starttls://..."
            raise ValueError(msg)
        return value

    @field_validator("crash_at")
    @classmethod
    def _crash_at(cls, value: str | None) -> str | None:
        if value is not None:
            read_crash_at(value)
        return value

    @model_validator(mode="after")
    def _topics_differ(self) -> Self:
        if len({getattr(self, name) for name in TOPICS}) != len(TOPICS):
            msg = f"{', '.join(name.upper() for name in TOPICS)} must differ"
            raise ValueError(msg)
        return self

    @property
    def origins(self) -> tuple[str, ...]:
        """The web sites whose pages may call the API."""
        return _listed(self.cors_origins)

    @property
    def fixed_clock(self) -> datetime | None:
        """The instant at which "now" stands still, or None for the wall clock."""
        return None if self.clock == "wall" else datetime.fromisoformat(self.clock).astimezone(UTC)

    @property
    def grace_ms(self) -> int:
        """Milliseconds a timer waits behind now; 0 under a fixed clock."""
        return 0 if self.fixed_clock else self.timer_grace_ms

    @property
    def input_topics(self) -> tuple[str, str]:
        """Both topics that events come in on."""
        return (self.orders_topic, self.customers_topic)

    @property
    def redrive_topics(self) -> tuple[str, ...]:
        """All topics that dead letters come from and that somebody reads."""
        return (*self.input_topics, self.engagement_topic)


def load_settings(**overrides: object) -> Settings:
    """Settings of this process.

    Args:
        overrides: values that win over the environment, by field name; None is left out.

    Raises:
        SettingsError: one sentence that names each variable and what it must be.
    """
    try:
        return Settings(**{name: value for name, value in overrides.items() if value is not None})  # type: ignore[arg-type]
    except ValidationError as error:
        faults = []
        for fault in error.errors(include_url=False, include_input=False, include_context=False):
            field = str(fault["loc"][0]).upper().removeprefix("SEGMENTS_") if fault["loc"] else ""
            name = f"SEGMENTS_{field}" if field else "The settings"
            faults.append(f"{name}: {fault['msg'].removeprefix('Value error, ')}")
        raise SettingsError("; ".join(faults)) from None
