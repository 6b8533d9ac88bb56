"""What the answers of an SMTP server mean for the message."""

from __future__ import annotations

import re
from typing import Final

from service.app.dispatch.transport import Outcome, Rejected, TryLater

REASON_CHARS_MAX: Final = 300
#: The server goes away: nothing is wrong with the message.
CLOSING: Final = 421
#: AUTH is missing, has failed, is too weak.
AUTH_CODES: Final = frozenset((530, 534, 535, 538))
#: The mailbox does not exist, is not here, is not written so.
NO_SUCH_ADDRESS: Final = frozenset((550, 551, 553))
TOO_LARGE: Final = 552
#: Of X.2.*: unspecified, and disabled.
MAILBOX_GONE: Final = (0, 1)

_ENHANCED = re.compile(r"([245])\.(\d{1,3})\.(\d{1,3})\b")
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")


def reason_of(code: int, text: str, address: str) -> str:
    """A server's answer on one line, cut, without the address of the recipient: reasons are shown and logged."""
    line = _UNPRINTABLE.sub(" ", f"{code} {text}")
    if address.lower() in line.lower():  # a pattern of each address would have to be compiled for each mail
        line = re.sub(re.escape(address), "(address)", line, flags=re.IGNORECASE)
    return line[:REASON_CHARS_MAX].strip()


def sender_refused(code: int, text: str, address: str) -> Outcome:
    """To a refused MAIL. It says nothing about the recipient, so nobody may be taken for bounced by it."""
    reason = reason_of(code, text, address)
    if 400 <= code < 500:
        return TryLater(reason, is_outage=code == CLOSING)
    if code == TOO_LARGE:
        return Rejected(reason)
    return TryLater(f"The server does not take mail from SEGMENTS_MAIL_FROM: {reason}", is_outage=True)


def message_refused(code: int, text: str, address: str) -> Outcome:
    """To a refused RCPT or DATA, or to the end of the data."""
    reason = reason_of(code, text, address)
    if code in AUTH_CODES or code == CLOSING:
        return TryLater(reason, is_outage=True)
    if 400 <= code < 500:
        return TryLater(reason)
    if 500 <= code < 600:
        return Rejected(reason, "hard" if _is_address_gone(code, text) else None)
    return TryLater(f"The server does not speak SMTP: {reason}", is_outage=True)


def _is_address_gone(code: int, text: str) -> bool:
    """Whether the address does not exist, as the enhanced status (RFC 3463) says, else the code.

    550 5.7.1 is a policy, such as a block list that our relay is on: taken for a bounce, it would suppress everybody.
    550 5.2.2 is a full mailbox, and 5.2.3 a mail that is too long for it: the address is there.
    """
    found = _ENHANCED.match(text.lstrip())
    if found is None:
        return code in NO_SUCH_ADDRESS
    subject, detail = int(found[2]), int(found[3])
    if subject == 1:
        return detail not in (7, 8)  # those two are about the sender
    return code in NO_SUCH_ADDRESS and (subject == 0 or (subject == 2 and detail in MAILBOX_GONE))
