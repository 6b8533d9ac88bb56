"""Attempts by transports of our own: marked before they begin, ended after, and taken back where a process died."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Final
from uuid import UUID

from service.adapters.postgres.campaigns import turns
from service.adapters.postgres.campaigns.messages import write_outbox
from service.app.dispatch.outcomes import Finished, Lease
from service.app.engagement.told import told_record
from service.app.outgoing import OutgoingRecord
from service.core.campaigns.states import GIVEN_UP, LIVE, Message, State
from service.core.instants import to_datetime

#: Held until the transaction ends, so that a pause or an end comes before or after it.
SHARE_CAMPAIGNS: Final = """
SELECT id, CASE WHEN is_deleted THEN 'cancelled' ELSE state END FROM customer_segment_campaigns
WHERE id = ANY($1::uuid[]) ORDER BY id FOR SHARE
"""
#: From here on nobody else can tell whether the message left. A lease that ran out may be another's by now. Who has a
#: token and a lease is `leased`; asked for that by name, the planner may walk through all that are, or were.
MARK: Final = """
UPDATE campaign_messages m
SET attempt_began_at = clock_timestamp(), lease_expires_at = clock_timestamp() + make_interval(secs => $3)
FROM unnest($1::uuid[], $2::uuid[]) AS u (message_id, token)
WHERE m.message_id = u.message_id AND m.attempt_token = u.token AND m.lease_expires_at > clock_timestamp()
RETURNING m.message_id
"""
#: Also of those that were held as uncertain because the lease had run out: now it is known.
FINISH: Final = """
UPDATE campaign_messages m SET
    state = u.state, reason = u.reason, sent_at = u.sent_at, attempts = m.attempts + u.attempts_more, error = u.error,
    retry_at = clock_timestamp() + make_interval(secs => u.retry_seconds),
    attempt_token = NULL, lease_expires_at = NULL
FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::timestamptz[], $6::smallint[], $7::float8[], $8::text[])
    AS u (message_id, token, state, reason, sent_at, attempts_more, retry_seconds, error)
WHERE m.message_id = u.message_id AND m.attempt_token = u.token AND m.state IN ('leased', 'uncertain')
RETURNING m.message_id
"""
RENEW: Final = """
UPDATE campaign_messages m SET lease_expires_at = clock_timestamp() + make_interval(secs => $3)
FROM unnest($1::uuid[], $2::uuid[]) AS u (message_id, token)
WHERE m.message_id = u.message_id AND m.attempt_token = u.token AND m.lease_expires_at > clock_timestamp()
"""
#: Campaigns are not locked for it: what waits again though its campaign was cancelled meanwhile is seen to afterwards.
#: `is_held` as Campaign.holds_uncertain.
LAPSED: Final = """
SELECT m.message_id, m.channel, m.attempt_began_at IS NOT NULL AS has_begun,
    m.channel = 'email' AND 'hold' = COALESCE(
        c.options ->> 'on_uncertain', CASE c.category WHEN 'marketing' THEN 'hold' ELSE 'resend' END
    ) AS is_held,
    c.is_deleted OR c.state = ANY($2::text[]) AS is_over
FROM campaign_messages m JOIN customer_segment_campaigns c ON c.id = m.campaign_id
WHERE m.state = 'leased' AND m.lease_expires_at <= clock_timestamp()
ORDER BY m.message_id LIMIT $1
FOR UPDATE OF m SKIP LOCKED
"""
#: Of what LAPSED has locked. The token of what is held stays: should its process live after all, it can still tell.
TAKE_BACK: Final = """
UPDATE campaign_messages m SET
    state = u.state, reason = u.reason, sent_at = u.sent_at, attempts = m.attempts + u.attempts_more, error = u.error,
    retry_at = NULL, lease_expires_at = NULL,
    attempt_token = CASE WHEN u.state = 'uncertain' THEN m.attempt_token END
FROM unnest($1::uuid[], $2::text[], $3::text[], $4::timestamptz[], $5::smallint[], $6::text[])
    AS u (message_id, state, reason, sent_at, attempts_more, error)
WHERE m.message_id = u.message_id
"""
LAPSED_MAX: Final = 500
CANCELLED: Final = "campaign_cancelled"


async def end_and_begin(
    connection: Any,
    ended: Sequence[tuple[Lease, Finished]],
    beginning: Sequence[Lease],
    *,
    lease_seconds: float,
    engagement_topic: str,
    now: int,
) -> set[UUID]:
    """Writes what became of some attempts, and marks others as begun; gives the tokens of those that may begin.

    What may not, because its campaign does not send any more, waits again or is over.
    """
    campaigns = sorted({one.campaign_id for one in (*beginning, *(lease for lease, _ in ended))})
    states = await _share(connection, campaigns)
    await _finish(connection, [_told_over(one, states) for one in ended], engagement_topic, now)
    live = [one for one in beginning if states.get(one.campaign_id) in LIVE]
    await release(connection, [one for one in beginning if states.get(one.campaign_id) not in LIVE], states)
    if not live:
        return set()
    marked = {row[0] for row in await connection.fetch(MARK, *_names(live), lease_seconds)}
    return {one.token for one in live if one.outbound.message_id in marked}


async def _share(connection: Any, campaigns: Sequence[UUID]) -> dict[UUID, str]:
    await connection.execute(turns.SHARE_ALL, campaigns)
    return dict(await connection.fetch(SHARE_CAMPAIGNS, campaigns))


def _told_over(one: tuple[Lease, Finished], states: dict[UUID, str]) -> tuple[Lease, Finished]:
    """Of a campaign that was given up nothing waits."""
    lease, finished = one
    if finished.state == Message.PENDING and states.get(lease.campaign_id, State.CANCELLED) in GIVEN_UP:
        more = finished.attempts_more
        return lease, Finished(Message.SUPPRESSED, CANCELLED, attempts_more=more, error=finished.error)
    return one


async def _finish(connection: Any, ended: Sequence[tuple[Lease, Finished]], topic: str, now: int) -> None:
    if not ended:
        return
    rows = [
        (
            lease.outbound.message_id,
            lease.token,
            one.state,
            one.reason,
            None if one.sent_at is None else to_datetime(one.sent_at),
            one.attempts_more,
            one.retry_seconds,
            one.error,
        )
        for lease, one in ended
    ]
    done = {row[0] for row in await connection.fetch(FINISH, *zip(*rows, strict=True))}
    await write_outbox(
        connection,
        [
            record
            for lease, one in ended
            if lease.outbound.message_id in done and (record := _told(lease, one, topic, now)) is not None
        ],
    )


def _told(lease: Lease, one: Finished, topic: str, now: int) -> OutgoingRecord | None:
    if one.told is None:
        return None
    outbound = lease.outbound
    return told_record(
        topic,
        one.told,
        outbound.message_id,
        lease.customer_id,
        now,
        channel=outbound.channel,
        details=one.details,
    )


async def release(connection: Any, leases: Sequence[Lease], states: dict[UUID, str] | None = None) -> None:
    """Gives leases back that were not used: their messages wait again, unless their campaign is over."""
    if not leases:
        return
    if states is None:
        states = await _share(connection, sorted({one.campaign_id for one in leases}))
    unused = [(one, Finished(Message.PENDING, attempts_more=0)) for one in leases]
    await _finish(connection, [_told_over(one, states) for one in unused], "", 0)


async def renew(connection: Any, leases: Collection[Lease], lease_seconds: float) -> None:
    """Keeps leases for so long from now."""
    if leases:
        await connection.execute(RENEW, *_names(leases), lease_seconds)


async def take_back(connection: Any, now: int) -> list[tuple[str, str]]:
    """Looks after messages whose lease ran out, because whoever held it died or stood still.

    What had not begun waits again and has lost nothing. Of the rest nobody can tell: it is held, or sent again.

    Returns:
        channel and new state of each.
    """
    rows = await connection.fetch(LAPSED, LAPSED_MAX, list(GIVEN_UP))
    if not rows:
        return []
    values = [_taken_back(row, now) for row in rows]
    await connection.execute(TAKE_BACK, *zip(*values, strict=True))
    return [(row["channel"], value[1]) for row, value in zip(rows, values, strict=True)]


def _taken_back(row: Any, now: int) -> tuple[Any, ...]:
    message_id = row["message_id"]
    if row["has_begun"] and row["is_held"]:
        error = "The process that sent it ended before it could tell."
        return message_id, Message.UNCERTAIN, "process_ended", to_datetime(now), 1, error
    state, reason = (Message.SUPPRESSED, CANCELLED) if row["is_over"] else (Message.PENDING, None)
    return message_id, state, reason, None, int(row["has_begun"]), None


def _names(leases: Collection[Lease]) -> tuple[list[UUID], list[UUID]]:
    return [one.outbound.message_id for one in leases], [one.token for one in leases]
