"""E-mail addresses as they go onto the wire: checked, their domain in ASCII."""

from __future__ import annotations

import re
from dataclasses import dataclass
from email.utils import parseaddr
from typing import Final

#: RFC 5321 section 4.5.3.1, in octets.
LOCAL_BYTES_MAX: Final = 64
ADDRESS_BYTES_MAX: Final = 254
LABEL_BYTES_MAX: Final = 63

_LOCAL = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~\u0080-\uffff\U00010000-\U0010ffff-]+")
_LABEL = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?")
#: Controls, white space, invisible characters and surrogates beyond ASCII.
_UNSEEN = re.compile(
    r"[\u0080-\u00a0\u00ad\u1680\u2000-\u200f\u2028-\u202f\u205f-\u206f\u3000\ud800-\udfff\ufeff\ufff0-\uffff]"
)
#: IDNA of 2003 and of 2008 make different domains of these, so the mail might go to somebody else.
_AMBIGUOUS = re.compile("[\u00df\u03c2\u200c\u200d]")


class AddressFault(Exception):
    """No mail can go to this address; the message is a sentence that does not repeat it."""


@dataclass(frozen=True)
class Mailbox:
    """One address; `local` may have characters beyond ASCII, `domain` has not."""

    local: str
    domain: str

    @property
    def text(self) -> str:
        """As it stands in commands and headers."""
        return f"{self.local}@{self.domain}"

    @property
    def needs_utf8(self) -> bool:
        """Whether only a server with SMTPUTF8 (RFC 6531) takes it."""
        return not self.local.isascii()


def read_mailbox(address: str) -> Mailbox:
    """The address in parts.

    Quoted local parts and address literals are not taken: nobody has such an address, and they are the usual way to
    smuggle one command into another.

    Raises:
        AddressFault: it is no address that mail can go to.
    """
    local, at, domain = address.strip(" ").rpartition("@")
    if not at or not local or not domain:
        msg = "The address is not of the form name@domain."
        raise AddressFault(msg)
    if _UNSEEN.search(local) or not all(_LOCAL.fullmatch(part) for part in local.split(".")):
        msg = "The address has characters before the @ that no mail server takes."
        raise AddressFault(msg)
    if len(local.encode()) > LOCAL_BYTES_MAX:
        msg = f"The address has more than {LOCAL_BYTES_MAX} bytes before the @."
        raise AddressFault(msg)
    found = Mailbox(local, _ascii_domain(domain))
    if len(found.text.encode()) > ADDRESS_BYTES_MAX:
        msg = f"The address has more than {ADDRESS_BYTES_MAX} bytes."
        raise AddressFault(msg)
    return found


def _ascii_domain(domain: str) -> str:
    if not domain.isascii():
        if _AMBIGUOUS.search(domain):
            msg = "The domain of the address has characters that are written in two ways: give it in the form xn--..."
            raise AddressFault(msg)
        try:
            domain = domain.encode("idna").decode()
        except UnicodeError:
            msg = "The domain of the address cannot be written in ASCII (IDNA)."
            raise AddressFault(msg) from None
    labels = domain.removesuffix(".").split(".")
    if not all(len(one) <= LABEL_BYTES_MAX and _LABEL.fullmatch(one) for one in labels):
        msg = "The domain of the address is no host name."
        raise AddressFault(msg)
    return ".".join(labels)


def read_sender(mail_from: str) -> tuple[str, Mailbox]:
    """Name, maybe empty, and address of a setting such as `The shop <shop@example.com>`.

    Raises:
        AddressFault: there is no address in it that can send; the message names the setting.
    """
    name, address = parseaddr(mail_from)
    try:
        found = read_mailbox(address)
        is_ascii = not found.needs_utf8
    except AddressFault:
        is_ascii = False
    if not is_ascii:
        msg = "SEGMENTS_MAIL_FROM: must be an address such as shop@example.com or The shop <shop@example.com>."
        raise AddressFault(msg)
    return name, found
