"""Messages to an endpoint of the operator's by signed HTTP requests, as Standard Webhooks writes them."""

from __future__ import annotations

import hmac
import re
import ssl
import time
from base64 import b64decode, b64encode
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from hashlib import sha256
from http import HTTPStatus
from ipaddress import ip_address
from typing import Final

import aiohttp
import msgspec
import structlog
from pydantic import SecretStr
from yarl import URL

from service.adapters.http.addresses import AddressRefused, CheckedResolver, check_literal
from service.app.dispatch.transport import Accepted, Outbound, Outcome, Rejected, TryLater
from service.settings import Settings, SettingsError

TYPE: Final = "campaign.message.requested"
SECRET_PREFIX: Final = "whsec_"  # noqa: S105 - the beginning of every such secret
#: From the look-up of the name to the head of the answer.
REQUEST_SECONDS_MAX: Final = 15.0
CONNECTIONS_MAX: Final = 16
IDLE_SECONDS_MAX: Final = 10.0
RETRY_AFTER_SECONDS_MAX: Final = 86_400.0
#: The head of an answer; of its body nothing is read.
ANSWER_LINE_BYTES_MAX: Final = 8_190
#: The endpoint has read the message and does not want it. All else may be mended there, and the message sent again.
NOT_WANTED: Final = frozenset(
    (HTTPStatus.BAD_REQUEST, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, HTTPStatus.UNPROCESSABLE_ENTITY)
)

#: The service behind the endpoint is away or wants a slower pace: no message is at fault, so no attempt is used up.
AWAY: Final = frozenset(
    (
        HTTPStatus.TOO_MANY_REQUESTS,
        HTTPStatus.BAD_GATEWAY,
        HTTPStatus.SERVICE_UNAVAILABLE,
        HTTPStatus.GATEWAY_TIMEOUT,
    )
)
#: How an address in an unusual form ends; no top-level domain does.
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")

_log = structlog.get_logger(__name__)


def signed_headers(key: bytes, message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """The three headers of Standard Webhooks.

    Args:
        key: the secret's bytes.
        message_id: the same at each attempt.
        timestamp: of this attempt, whole seconds since the epoch.
        body: as it is sent.
    """
    content = f"{message_id}.{timestamp}.".encode() + body
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": "v1," + b64encode(hmac.digest(key, content, sha256)).decode(),
    }


def signing_key(secret: SecretStr) -> bytes:
    """The bytes to sign with: those behind whsec_, else the secret itself."""
    text = secret.get_secret_value()
    if text.startswith(SECRET_PREFIX):
        return b64decode(text.removeprefix(SECRET_PREFIX))
    return text.encode()


class WebhookTransport:
    """One endpoint; see app.dispatch.transport.Transport."""

    concurrency = CONNECTIONS_MAX

    def __init__(
        self, url: str, key: bytes, hosts_allowed: frozenset[str] = frozenset(), tls: ssl.SSLContext | None = None
    ) -> None:
        """Connects to nothing yet.

        Args:
            url: where to; https, unless the host is allowed.
            key: to sign with.
            hosts_allowed: in small letters; may be within one's own network, and spoken to without TLS.
            tls: which certificates are trusted; None for those of the system.

        Raises:
            SettingsError: the URL leads where no request may go.
        """
        try:
            self._url = URL(url)  # as the client reads it: other readers see other hosts in the same text
        except ValueError:
            msg = "must be a URL such as https://shop.example.com/hooks"
            raise SettingsError(msg) from None
        self._host = (self._url.raw_host or "").lower()
        if _NUMBER.fullmatch(self._host.rpartition(".")[2]) and not _is_address(self._host):
            msg = f"{self._host} is neither the name of a host nor an address in its usual form"
            raise SettingsError(msg)
        if self._url.scheme != "https" and self._host not in hosts_allowed:
            msg = f"https must be used for {self._host}, or the host be named in SEGMENTS_WEBHOOK_HOSTS_ALLOWED"
            raise SettingsError(msg)
        try:
            check_literal(self._host, hosts_allowed)
        except AddressRefused as refused:
            raise SettingsError(str(refused)) from None
        self._key, self._allowed, self._tls = key, hosts_allowed, tls
        self._session: aiohttp.ClientSession | None = None
        self._is_gone = False

    async def send(self, message: Outbound) -> Outcome:
        """See Transport. A message that was taken may be sent again if the answer gets lost, under the same id."""
        if self._is_gone:
            return TryLater("The endpoint answered 410 (Gone): mend it, then restart the dispatcher.", is_outage=True)
        now = time.time()
        body = _body(message, now)
        headers = {
            "content-type": "application/json",
            "user-agent": "customer-segments",
            **signed_headers(self._key, str(message.message_id), int(now), body),
        }
        try:
            async with self._open().post(self._url, data=body, headers=headers, allow_redirects=False) as answer:
                return self._outcome(answer)
        except TimeoutError:
            return TryLater(f"The endpoint did not answer within {REQUEST_SECONDS_MAX:g} s.")
        except aiohttp.ClientConnectorError as error:
            refused = error.os_error
            reason = str(refused) if isinstance(refused, AddressRefused) else type(refused).__name__
            return TryLater(f"No connection to the endpoint: {reason}", is_outage=True)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return TryLater(f"The request failed: {type(error).__name__}")

    def _outcome(self, answer: aiohttp.ClientResponse) -> Outcome:
        """By the status alone: what else an endpoint says might be anything, personal data among it."""
        status = answer.status
        reason = f"The endpoint answered {status}"
        if 200 <= status < 300:
            return Accepted()
        if status == HTTPStatus.GONE:
            self._is_gone = True
            _log.warning("webhook endpoint is gone: nothing goes there until this process starts anew", host=self._host)
            return TryLater(f"{reason} (Gone): mend it, then restart the dispatcher.", is_outage=True)
        if status in NOT_WANTED:
            return Rejected(reason)
        after = _retry_after_seconds(answer.headers.get("retry-after"), time.time())
        return TryLater(reason, after, is_outage=status in AWAY)

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            connector = aiohttp.TCPConnector(
                resolver=CheckedResolver(self._allowed),
                use_dns_cache=False,
                ssl=self._tls or True,
                limit=CONNECTIONS_MAX,
                keepalive_timeout=IDLE_SECONDS_MAX,
            )
            self._session = aiohttp.ClientSession(
                connector=connector,
                timeout=aiohttp.ClientTimeout(total=REQUEST_SECONDS_MAX),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                trust_env=False,
                max_line_size=ANSWER_LINE_BYTES_MAX,
                max_field_size=ANSWER_LINE_BYTES_MAX,
            )
        return self._session

    async def close(self) -> None:
        """See Transport."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _body(message: Outbound, now: float) -> bytes:
    at = datetime.fromtimestamp(now, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return msgspec.json.encode({"type": TYPE, "timestamp": at, "data": message.data})


def _retry_after_seconds(value: str | None, now: float) -> float | None:
    """Seconds, as a number or up to a date; None where it is neither. No endpoint may put a message off for ever."""
    if value is None:
        return None
    if value.isascii() and value.strip().isdigit():
        return min(float(value), RETRY_AFTER_SECONDS_MAX)
    try:
        at = parsedate_to_datetime(value)
        at = at.replace(tzinfo=UTC) if at.tzinfo is None else at
        return min(max(0.0, at.timestamp() - now), RETRY_AFTER_SECONDS_MAX)
    except (ValueError, ArithmeticError):  # a zone may be beyond all measure
        return None


def webhook_transport(settings: Settings, channel: str) -> WebhookTransport | None:
    """The transport of a channel that the settings name, if any.

    Args:
        settings: of this process.
        channel: email (has none), sms or notification.

    Raises:
        SettingsError: a setting cannot be used.
    """
    name = f"{channel}_webhook_url"
    url = getattr(settings, name, None)
    if url is None:
        return None
    if settings.webhook_secret is None:
        msg = f"SEGMENTS_WEBHOOK_SECRET: is needed to sign the requests to SEGMENTS_{name.upper()}"
        raise SettingsError(msg)
    try:
        return WebhookTransport(url, signing_key(settings.webhook_secret), hosts_of(settings.webhook_hosts_allowed))
    except SettingsError as error:
        msg = f"SEGMENTS_{name.upper()}: {error}"
        raise SettingsError(msg) from None


def hosts_of(value: str) -> frozenset[str]:
    """Hosts with commas between, in small letters, IPv6 addresses without brackets."""
    return frozenset(one.strip().strip("[]").lower() for one in value.split(",") if one.strip())
