"""Campaigns from a join, from a due instant and to a mail server: real roles on servers of their own.

    python -m benchmarks.dispatch                # about 6 minutes
    python -m benchmarks.dispatch --quick
    python -m benchmarks.dispatch --only joins

joins: customers come at a steady rate and join a segment for which an SMS campaign listens. A message's time runs from
the receipt of `segment.joined` by a subscriber of the membership topic to that of `campaign.message.requested` by one
of the messages' topic, both in one process with read_committed.
mails: one campaign to many customers, to an SMTP server in a process of its own that keeps nothing; before and after
it the bare client of `benchmarks.mail` sends as many mails of nearly the same size to the same server.
audience: from the instant at which a campaign is due to the commit of a message for each member.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import tempfile
from pathlib import Path
from typing import Any

import psutil

from benchmarks import machine, mail
from benchmarks.campaign_runs import SEGMENT, begin, campaign_of, filled_run, states_of, wait_until
from benchmarks.command import arguments
from benchmarks.joins import joins
from benchmarks.stack import Roles, running_servers
from service.logs import configure_logs
from service.stack.servers import Servers


def main() -> None:
    """Command line."""
    parser = arguments("dispatch", __doc__, "5 s of joins, 5,000 mails, 50,000 members")
    parser.add_argument("--only", choices=("joins", "mails", "audience"))
    parser.add_argument("--rate", type=int, default=500, help="joins a second")
    parser.add_argument("--mails", type=int, help="recipients of the e-mail campaign")
    parser.add_argument("--connections", type=int, default=8, help="to the mail server")
    chosen = parser.parse_args()
    configure_logs("console", "WARNING", "benchmark")
    logs = Path(tempfile.mkdtemp(prefix="segments-bench-logs-"))
    with running_servers(chosen.folder) as servers:
        found = asyncio.run(_measure(servers, chosen, logs))
    print(f"logs of the roles: {logs}")
    if chosen.output:
        chosen.output.write_text(json.dumps(found, indent=1))


async def _measure(servers: Servers, chosen: argparse.Namespace, logs: Path) -> dict[str, Any]:
    found: dict[str, Any] = {"machine": await machine.description(servers.database_url)}
    if chosen.only in (None, "joins"):
        found["joins"] = one = await joins(servers, logs, chosen.rate, 5 if chosen.quick else 30)
        print(
            f"joined to message, {one['rate_reached']:.0f} joins/s: {one['milliseconds']} ms,"
            f" each once; load {one['load']}"
        )
    if chosen.only in (None, "mails"):
        found["mails"] = one = await mails(
            servers, logs, chosen.mails or (5_000 if chosen.quick else 100_000), chosen.connections
        )
        print(
            f"{one['mails']:,} mails: {one['rate']:,.0f}/s, the server alone {one['bare']}, ratio {one['ratio']:.2f};"
            f" dispatcher {one['mb_start']:.0f} MB, most {one['mb_max']:.0f} MB; load {one['load']}"
        )
    if chosen.only in (None, "audience"):
        found["audience"] = one = await audience(servers, logs, 50_000 if chosen.quick else 1_000_000)
        print(f"audience of {one['members']:,}: {one['seconds']:.1f} s; load {one['load']}")
    return found


async def mails(servers: Servers, logs: Path, count: int, connections: int) -> dict[str, Any]:
    """Mails a second of a campaign beside what the server takes.

    Raises:
        RuntimeError: not everybody got one.
    """
    with mail.sink() as port:
        run = await filled_run(
            servers, "mails", count, SMTP_URL=f"smtp://127.0.0.1:{port}", SMTP_CONNECTIONS_MAX=connections
        )
        await mail.bare(port, count // 20, connections)
        before = await mail.bare(port, count // 2, connections)
        with Roles(run, logs) as roles:
            process = psutil.Process(roles.start("dispatch"))
            roles.start("relay")
            await asyncio.sleep(3)
            start_mb = process.memory_info().rss / machine.MB
            made = campaign_of(SEGMENT, "email", subject="15 % off for {{ customer.name }}", content=mail.HTML)
            due = await begin(run, made)
            ended, memory = await wait_until(run, made.id, "sent", process)
            roles.check()
            states = await states_of(run, made.id)
        after = await mail.bare(port, count // 2, connections)
    await run.drop()
    if states != {"sent": count}:
        raise RuntimeError(states)
    rate = count / (ended - due)
    return {
        "mails": count,
        "rate": rate,
        "bare": [round(before), round(after)],
        "ratio": rate / statistics.mean((before, after)),
        "mb_start": start_mb,
        "mb": memory,
        "mb_max": max(memory),
        "load": machine.load(),
    }


async def audience(servers: Servers, logs: Path, count: int) -> dict[str, Any]:
    """Seconds until each member has a message that waits."""
    run = await filled_run(servers, "audience", count)
    with Roles(run, logs) as roles:
        roles.start("dispatch")
        await asyncio.sleep(3)
        made = campaign_of(SEGMENT, "sms")
        due = await begin(run, made)
        ended, _ = await wait_until(run, made.id, None, None)
        roles.check()
    states = await states_of(run, made.id)
    await run.drop()
    if sum(states.values()) != count:
        raise RuntimeError(states)
    return {"members": count, "seconds": ended - due, "load": machine.load()}


if __name__ == "__main__":
    main()
