"""The mail server of `segments up` for those who have none: it delivers nothing and shows what it got.

sink = MailSink.on(data_dir)                       # ports of its own, the same at each start
RoleSpec("mail", sink.command, {})                 # run by the supervisor like a role
sink.smtp_url, sink.inbox_url, sink.answers()
"""

from __future__ import annotations

import socket
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from service.stack.ports import LOOPBACK, free_port, is_free
from service.stack.state import DataDir

FOLDER = "inbox"
LOOK_SECONDS_MAX = 1.0


@dataclass(frozen=True)
class MailSink:
    """Where it listens and keeps its mails."""

    folder: Path
    smtp_port: int
    http_port: int

    @classmethod
    def on(cls, data: DataDir) -> Self:
        """On the ports of the last start, where nobody has taken them since.

        Raises:
            StackError: no port is free.
        """
        before = data.load("mail")
        chosen: dict[str, int] = {}
        for name in ("smtp_port", "http_port"):
            port = before.get(name)
            usable = isinstance(port, int) and is_free(port)
            chosen[name] = port if usable and port is not None else free_port(frozenset(chosen.values()))
        data.save("mail", chosen)
        return cls(data.path / FOLDER, **chosen)

    @property
    def command(self) -> list[str]:
        """The process to run."""
        options = {"--folder": self.folder, "--smtp-port": self.smtp_port, "--http-port": self.http_port}
        words = [str(word) for option in options.items() for word in option]
        return [sys.executable, "-m", "service.stack.mailbox", *words]

    @property
    def smtp_url(self) -> str:
        """What SEGMENTS_SMTP_URL must be to send here."""
        return f"smtp://{LOOPBACK}:{self.smtp_port}"

    @property
    def inbox_url(self) -> str:
        """Where a browser shows the mails."""
        return f"http://{LOOPBACK}:{self.http_port}"

    def answers(self) -> bool:
        """Whether it takes mails, and shows them, now."""
        try:
            for port in (self.smtp_port, self.http_port):
                socket.create_connection((LOOPBACK, port), timeout=LOOK_SECONDS_MAX).close()
        except OSError:
            return False
        return True
