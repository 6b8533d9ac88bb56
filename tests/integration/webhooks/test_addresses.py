"""Which addresses requests may go to."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest

from service.adapters.http.addresses import AddressRefused, CheckedResolver, check_literal, is_public

PRIVATE = [
    "0.0.0.0",  # noqa: S104 - nobody binds it here
    "10.1.2.3",
    "100.64.0.1",
    "127.0.0.1",
    "127.255.255.254",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.8",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.1.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:8.8.8.8",
    "64:ff9b::7f00:1",
    "64:ff9b::808:808",
    "64:ff9b:1::1",
    "100::1",
    "2001::1",
    "2001:db8::1",
    "2002:7f00:1::",
    "2002:808:808::1",
    "3fff::1",
    "5f00::1",
    "fc00::1",
    "fd12:3456::1",
    "fe80::1",
    "fe80::1%eth0",
    "2606:4700::1111%eth0",
    "fec0::1",
    "ff02::1",
    "ff0e::1",
    "localhost",
    "",
]
PUBLIC = ["8.8.8.8", "1.1.1.1", "172.32.0.1", "100.128.0.1", "2606:4700:4700::1111", "2a00:1450::1"]


@pytest.mark.parametrize("address", PRIVATE)
def test_not_public(address: str) -> None:
    """Private, local, reserved, documentation, multicast, and IPv6 that carries IPv4: not for us."""
    assert not is_public(address)


@pytest.mark.parametrize("address", PUBLIC)
def test_public(address: str) -> None:
    """What anybody can reach."""
    assert is_public(address)


def test_literals() -> None:
    """A host that is an address itself is checked as such; a name is left to the resolver."""
    with pytest.raises(AddressRefused, match="SEGMENTS_WEBHOOK_HOSTS_ALLOWED"):
        check_literal("127.0.0.1", frozenset())
    with pytest.raises(AddressRefused):
        check_literal("fe80::1%eth0", frozenset())
    check_literal("127.0.0.1", frozenset({"127.0.0.1"}))
    check_literal("8.8.8.8", frozenset())
    check_literal("localhost", frozenset())


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "0"])
async def test_names_that_lead_home(host: str) -> None:
    """A name of this machine, and each way to write its address as a name, is refused."""
    with pytest.raises(AddressRefused):
        await CheckedResolver(frozenset()).resolve(host, 443)


@pytest.mark.parametrize(
    "answers", [["8.8.8.8", "10.0.0.1"], ["::1", "2606:4700::1"], ["2002:7f00:1::"], ["fe80::1%eth0"], []]
)
async def test_one_private_address_is_enough(answers: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A name with a public and a private address is refused, whichever would have been tried first."""

    async def getaddrinfo(*_: Any, **__: Any) -> list[Any]:
        return [(socket.AF_INET6 if ":" in one else socket.AF_INET, 1, 6, "", (one, 443)) for one in answers]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)
    with pytest.raises(AddressRefused):
        await CheckedResolver(frozenset()).resolve("rebind.example", 443)


async def test_only_addresses_leave() -> None:
    """What the resolver gives is numeric: nobody looks the name up a second time."""
    found = await CheckedResolver(frozenset({"localhost"})).resolve("localhost", 80)
    assert {one["host"] for one in found} <= {"127.0.0.1", "::1"}
    assert {one["hostname"] for one in found} == {"localhost"}
