"""To which addresses requests of ours may go: only such as anybody on the Internet could reach (against SSRF)."""

from __future__ import annotations

import asyncio
import socket
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Final

from aiohttp.abc import AbstractResolver, ResolveResult

#: Not for everybody, whatever the running Python's own list says of them (RFC 6890 and what came after).
_NOT_GLOBAL_4: Final = tuple(
    ip_network(one)
    for one in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/3",
    )
)
#: All that is assigned for global use. Whatever carries an IPv4 address in it lies outside, or below.
_GLOBAL_6: Final = ip_network("2000::/3")
_NOT_GLOBAL_6: Final = tuple(
    ip_network(one)
    for one in (
        "2001::/23",  # Teredo, ORCHID, benchmarks
        "2001:db8::/32",
        "2002::/16",  # 6to4
        "3fff::/20",
    )
)


class AddressRefused(OSError):
    """A request may not go there; the message is a sentence."""


def is_public(text: str) -> bool:
    """Whether an IP address is one that anybody on the Internet could reach; False for what is none."""
    try:
        address = ip_address(text)
    except ValueError:
        return False
    if not address.is_global or address.is_multicast or address.is_reserved:
        return False
    if isinstance(address, IPv4Address):
        return not any(address in one for one in _NOT_GLOBAL_4)
    return _is_public_6(address)


def _is_public_6(address: IPv6Address) -> bool:
    return address.scope_id is None and address in _GLOBAL_6 and not any(address in one for one in _NOT_GLOBAL_6)


def check_literal(host: str, allowed: frozenset[str]) -> None:
    """Checks a host that is an IP address itself, which no resolver gets to see; does nothing for a name.

    Raises:
        AddressRefused: it is not public, and not allowed.
    """
    try:
        ip_address(host.partition("%")[0])
    except ValueError:
        return
    _check(host, [host], allowed)


def _check(host: str, addresses: list[str], allowed: frozenset[str]) -> None:
    if host.lower() in allowed:
        return
    if not addresses or not all(is_public(one) for one in addresses):
        msg = (
            f"{host} is, or also is, an address within a private network: "
            "name the host in SEGMENTS_WEBHOOK_HOSTS_ALLOWED if that is meant."
        )
        raise AddressRefused(msg)


class CheckedResolver(AbstractResolver):
    """Resolves a name once and gives only checked addresses, so that a second answer cannot lead elsewhere."""

    def __init__(self, allowed: frozenset[str]) -> None:
        """Hosts, in small letters, whose addresses are not checked."""
        self._allowed = allowed

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """The addresses of a name, all of them checked.

        Raises:
            OSError: the name is not known.
            AddressRefused: one of the addresses is not public, and the host not allowed.
        """
        try:
            found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM, family=family)
        except UnicodeError as error:
            msg = "The name of the host is none."
            raise OSError(msg) from error
        addresses = [(kind, str(place[0])) for kind, _, _, _, place in found]
        _check(host, [text for _, text in addresses], self._allowed)
        return [
            ResolveResult(hostname=host, host=text, port=port, family=kind, proto=0, flags=socket.AI_NUMERICHOST)
            for kind, text in addresses
        ]

    async def close(self) -> None:
        """Nothing to let go of."""
