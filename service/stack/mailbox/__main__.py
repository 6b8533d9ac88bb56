"""The process of the inbox: SMTP and HTTP on loopback until SIGTERM."""

from __future__ import annotations

import argparse
import asyncio
import signal
from pathlib import Path

from aiohttp import web

from service.logs import configure_logs
from service.stack.mailbox.inbox import Inbox
from service.stack.mailbox.receiving import Receiver
from service.stack.mailbox.web import Pages
from service.stack.ports import LOOPBACK

STOP_SECONDS_MAX = 1.0


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m service.stack.mailbox", description=__doc__)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--smtp-port", type=int, required=True)
    parser.add_argument("--http-port", type=int, required=True)
    chosen = parser.parse_args()
    configure_logs("json", "INFO", "mail")
    asyncio.run(serve(chosen.folder, chosen.smtp_port, chosen.http_port))


async def serve(folder: Path, smtp_port: int, http_port: int) -> None:
    """Takes mails and shows them until the process is told to stop."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    inbox = Inbox(folder)
    listener = await loop.create_server(Receiver(inbox).protocol, LOOPBACK, smtp_port)
    runner = web.AppRunner(Pages(inbox).app(), access_log=None, shutdown_timeout=STOP_SECONDS_MAX)
    await runner.setup()
    await web.TCPSite(runner, LOOPBACK, http_port).start()
    await stop.wait()
    listener.close()
    await runner.cleanup()


if __name__ == "__main__":
    main()
