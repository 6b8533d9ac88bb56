"""Mails a second by SMTP: the transport against a client that does nothing but write prepared bytes.

    python -m benchmarks.mail            # about 1 minute
    python -m benchmarks.mail --quick

Both send the same mails over as many connections to the same server, aiosmtpd in a process of its own that keeps
nothing, turn by turn. What the bare client reaches is what the server takes on this machine; the ratio is what is left
when mails are written, addresses checked and answers understood. Also: how long writing a mail takes, and how long the
standard library would.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import EmailMessage
from email.policy import SMTP as POLICY
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from benchmarks import machine
from service.adapters.mail.mailbox import read_mailbox
from service.adapters.mail.message import MailWriter
from service.adapters.mail.server import SmtpServer
from service.adapters.mail.smtp import SmtpTransport
from service.app.dispatch.transport import Accepted, Outbound

HOST: Final = "127.0.0.1"
WRITER: Final = MailWriter("The shop <shop@example.com>")
TEXT: Final = "Hello Zoë,\n\n15 % off until Friday: https://shop.example.com/t/c/v1.abcdefghijklmnopqrstuvwxyz\n" * 5
HTML: Final = "<p>Hello <b>Zoë</b>, <a href='https://shop.example.com/t/c/v1.abcdefghijklmnop'>15 % off</a></p>\n" * 30
SINK: Final = """
import asyncio, sys
from aiosmtpd.smtp import SMTP
class Keeps_nothing:
    async def handle_DATA(self, server, session, envelope):
        return "250 2.0.0 Ok"
async def main():
    make = lambda: SMTP(Keeps_nothing(), hostname="localhost")
    server = await asyncio.get_running_loop().create_server(make, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.sleep(3600)
asyncio.run(main())
"""


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.mail", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="fewer mails and rounds")
    parser.add_argument("--connections", type=int, default=8)
    parser.add_argument("--output", type=Path, help="a JSON file for all figures")
    chosen = parser.parse_args()
    mails, rounds = (2_000, 3) if chosen.quick else (5_000, 7)
    found = {"load": machine.load(), **_writing(mails)}
    print(f"writing a mail: {found['writer_us']:.0f} us, standard library {found['standard_us']:.0f} us")
    with sink() as port:
        found |= asyncio.run(_sending(port, mails, rounds, chosen.connections))
    print(
        f"{chosen.connections} connections, {found['mail_bytes']} bytes a mail: transport {found['transport']:,.0f}/s,"
        f" bare client {found['bare']:,.0f}/s, ratio {found['ratio']:.2f} ({found['ratio_min']:.2f} to"
        f" {found['ratio_max']:.2f}); load {found['load']}"
    )
    if chosen.output:
        chosen.output.write_text(json.dumps(found, indent=1))


def _message(number: int) -> Outbound:
    return Outbound(
        UUID(int=number),
        1,
        "email",
        f"customer{number}@example.org",
        "15 % off for Zoë",
        TEXT,
        HTML,
        "https://shop.example.com/u/v1.abcdefghijklmnopqrstuvwxyz.0123456789",
    )


def _writing(mails: int) -> dict[str, float]:
    messages = [_message(number) for number in range(mails)]
    begun = time.perf_counter()
    for one in messages:
        WRITER.write(one, read_mailbox(one.address or ""))
    ours = time.perf_counter() - begun
    some = messages[: mails // 10]
    begun = time.perf_counter()
    for one in some:
        _standard(one)
    return {"writer_us": ours / mails * 1e6, "standard_us": (time.perf_counter() - begun) / len(some) * 1e6}


def _standard(message: Outbound) -> bytes:
    mail = EmailMessage(policy=POLICY)
    mail["From"], mail["To"], mail["Subject"] = "The shop <shop@example.com>", message.address, message.subject
    mail["Message-ID"] = f"<{message.message_id}@example.com>"
    mail["List-Unsubscribe"] = f"<{message.unsubscribe_url}>"
    mail.set_content(message.text)
    mail.add_alternative(message.html or "", subtype="html")
    return mail.as_bytes()


@contextmanager
def sink() -> Iterator[int]:
    """A mail server that keeps nothing, in a process of its own: its port."""
    process = subprocess.Popen([sys.executable, "-c", SINK], stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None  # noqa: S101 - a pipe, as asked for
        yield int(process.stdout.readline())
    finally:
        process.terminate()
        process.wait()


async def _sending(port: int, mails: int, rounds: int, connections: int) -> dict[str, Any]:
    await bare(port, mails // 10, connections)
    rates: list[tuple[float, float]] = []
    for number in range(rounds):
        first, second = (_transport, bare) if number % 2 else (bare, _transport)
        one, two = await first(port, mails, connections), await second(port, mails, connections)
        rates.append((one, two) if first is _transport else (two, one))
    ratios = [transport / bare for transport, bare in rates]
    return {
        "mail_bytes": len(WRITER.write(_message(0), read_mailbox("customer0@example.org"))),
        "transport": statistics.median(one for one, _ in rates),
        "bare": statistics.median(one for _, one in rates),
        "ratio": statistics.median(ratios),
        "ratio_min": min(ratios),
        "ratio_max": max(ratios),
    }


async def _transport(port: int, mails: int, connections: int) -> float:
    """Mails a second of the product's transport; as many senders as connections."""
    transport = SmtpTransport(SmtpServer(HOST, port), WRITER, connections)
    numbers = iter(range(mails))

    async def sender() -> None:
        for number in numbers:
            outcome = await transport.send(_message(number))
            if not isinstance(outcome, Accepted):
                raise RuntimeError(outcome)

    begun = time.perf_counter()
    await asyncio.gather(*(sender() for _ in range(connections)))
    rate = mails / (time.perf_counter() - begun)
    await transport.close()
    return rate


async def bare(port: int, mails: int, connections: int) -> float:
    """Mails a second of a client that writes prepared bytes and waits for lines."""
    mail = WRITER.write(_message(0), read_mailbox("customer0@example.org")) + b".\r\n"
    steps = (b"MAIL FROM:<shop@example.com>\r\n", b"RCPT TO:<customer0@example.org>\r\n", b"DATA\r\n", mail)
    numbers = iter(range(mails))

    async def sender() -> None:
        reader, writer = await asyncio.open_connection(HOST, port)
        await reader.readline()
        writer.write(b"EHLO localhost\r\n")
        while not (await reader.readline()).startswith(b"250 "):
            pass
        for _ in numbers:
            for step in steps:
                writer.write(step)
                await reader.readline()
        writer.close()

    begun = time.perf_counter()
    await asyncio.gather(*(sender() for _ in range(connections)))
    return mails / (time.perf_counter() - begun)


if __name__ == "__main__":
    main()
