"""What campaigns have left to do, for `status` and `wait-idle`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from service.adapters.kafka.offsets import OffsetReader
from service.adapters.postgres.campaigns.schedule import FIRST_WAITING, IS_UNSETTLED
from service.adapters.postgres.database import Database
from service.core.instants import to_datetime
from service.settings import Settings

#: $1 is the service's clock; retries wait in real time.
WORK: Final = f"""
SELECT
    (SELECT count(*) FROM customer_segment_campaigns c JOIN campaign_messages m ON m.campaign_id = c.id
     WHERE c.state IN ('sending', 'active') AND NOT c.is_deleted AND m.state IN ('pending', 'deferred')
        AND m.due_at <= $1 AND (m.retry_at IS NULL OR m.retry_at <= clock_timestamp())),
    (SELECT count(*) FROM campaign_messages WHERE state = 'leased'),
    (SELECT count(*) FROM customer_segment_campaigns c WHERE NOT c.is_deleted AND (
        (c.state = 'scheduled' AND c.scheduled_at <= $1)
        OR (c.state = 'active' AND c.audience_taken_at IS NULL AND (c.options ->> 'include_existing')::boolean)
        OR (c.state = 'sending' AND NOT {IS_UNSETTLED})
     )) + (SELECT count(*) FROM customer_segment_campaigns c CROSS JOIN LATERAL ({FIRST_WAITING}) w
     WHERE c.state IN ('sent', 'cancelled', 'failed') OR c.is_deleted)
     + (SELECT count(*) FROM customer_segment_campaigns WHERE state = 'cancelled' AND recalled_at IS NULL),
    EXISTS (SELECT FROM customer_segment_campaigns c
            WHERE c.state IN ('active', 'paused') AND NOT c.is_deleted AND c.trigger <> 'once')
"""  # noqa: S608 - built from constants
DISPATCH_GROUP: Final = "-dispatch"
ENGAGEMENT_GROUP: Final = "-engagement"


@dataclass(frozen=True)
class CampaignWork:
    """What is left to do.

    Attributes:
        due_messages: of campaigns that send, which could leave now.
        leased_messages: on their way by a transport of our own.
        due_campaigns: whose next step is due: an audience to take, an end, messages to call back.
        lag: of the membership topic (while a campaign listens to it) and of the engagement topic, by partition.
    """

    due_messages: int
    leased_messages: int
    due_campaigns: int
    lag: dict[str, dict[str, int]]

    def busy(self) -> list[str]:
        """What is not idle yet, a phrase each."""
        found = [
            f"{lag} records of {topic} not read for campaigns"
            for topic, partitions in self.lag.items()
            if (lag := sum(partitions.values()))
        ]
        counts = (
            (self.due_messages, "due campaign messages"),
            (self.leased_messages, "campaign messages on their way"),
            (self.due_campaigns, "campaigns about to begin or end"),
        )
        return found + [f"{count} {what}" for count, what in counts if count]


async def look_at_campaigns(settings: Settings, database: Database, reader: OffsetReader, now: int) -> CampaignWork:
    """One look. Joins and leaves are looked at before what they leave behind, and outcomes after it.

    Args:
        settings: names topics and groups.
        database: where messages are.
        reader: of offsets.
        now: the service's clock, microseconds.
    """
    group = settings.consumer_group
    joins = await _lag(reader, group + DISPATCH_GROUP, settings.membership_topic)
    async with database.session() as connection:
        messages, leased, campaigns, is_listening = await connection.fetchrow(WORK, to_datetime(now))
    lag = {settings.membership_topic: joins} if is_listening else {}
    lag[settings.engagement_topic] = await _lag(reader, group + ENGAGEMENT_GROUP, settings.engagement_topic)
    return CampaignWork(messages, leased, campaigns, lag)


async def _lag(reader: OffsetReader, group: str, topic: str) -> dict[str, int]:
    committed, ends = await reader.committed(group, topic), await reader.ends(topic)
    return {str(place[1]): max(0, end - committed[place]) for place, end in sorted(ends.items())}
