"""The schema of campaigns: what is said, to whom it went, and what came of it.

Messages are keyed by customer_id first, like everything else about a customer. They hold no address and no text: both
are looked up and rendered when a message leaves.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Identity,
    Index,
    Integer,
    LargeBinary,
    Numeric,
    SmallInteger,
    Table,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from service.adapters.postgres.table_parts import CodePoints, Instant, column, metadata, now

customer_segment_campaigns = Table(
    "customer_segment_campaigns",
    metadata,
    column("id", Uuid, primary_key=True),
    column("segment_id", Uuid),
    column("campaign_name", Text),
    column("campaign_type", Text),
    column("channel", Text),
    column("category", Text),
    column("subject", Text, nullable=True),
    column("content", Text, nullable=True),
    column("discount_code", Text, nullable=True),
    column("discount_amount", Numeric(10, 2), nullable=True),
    column("discount_type", Text, nullable=True),
    column("trigger", Text),
    column("state", Text),
    column("failure_reason", Text, nullable=True),
    column("scheduled_at", Instant, nullable=True),
    # By the service's clock; activated_at is the same in real time, as joins and leaves are recorded in.
    column("started_at", Instant, nullable=True),
    column("activated_at", Instant, nullable=True),
    column("sent_at", Instant, nullable=True),
    # When the members of then got their messages; of triggered campaigns only where those who were there get one.
    column("audience_taken_at", Instant, nullable=True),
    # When all that a cancelled campaign had asked of downstream services was called back, and up to which customer.
    column("recalled_at", Instant, nullable=True),
    column("recalled_up_to", Uuid, nullable=True),
    # core.campaigns.model.Options
    column("options", JSONB),
    column("revision", BigInteger, server_default=text("1")),
    column("created_by", Text),
    now("created_at"),
    now("updated_at"),
    column("is_deleted", Boolean, server_default=text("false")),
    Index(None, "segment_id"),
    Index(
        "campaigns_live_idx",
        "state",
        postgresql_where=text("state IN ('scheduled', 'sending', 'active', 'paused') AND NOT is_deleted"),
    ),
)

campaign_state_changes = Table(
    "campaign_state_changes",
    metadata,
    column("id", BigInteger, Identity(always=True), primary_key=True),
    column("campaign_id", Uuid),
    column("from_state", Text),
    column("to_state", Text),
    column("reason", Text, nullable=True),
    column("changed_by", Text),
    now("at"),
    Index(None, "campaign_id", "id"),
)

campaign_messages = Table(
    "campaign_messages",
    metadata,
    column("customer_id", Uuid, primary_key=True),
    column("campaign_id", Uuid, primary_key=True),
    # Once, or which join or leave it was: join:<sequence>, left:<sequence>.
    column("occasion", CodePoints, primary_key=True),
    # uuid5 of the key (core.campaigns.identity)
    column("message_id", Uuid),
    column("channel", Text),
    column("category", Text),
    column("priority", SmallInteger),
    column("state", Text),
    column("reason", Text, nullable=True),
    # The instant of the join or leave that fired it, else that of the audience.
    column("occurred_at", Instant),
    # When it is to leave at the earliest, by the service's clock; retries wait in real time.
    column("due_at", Instant),
    column("expires_at", Instant),
    column("retry_at", Instant, nullable=True),
    # When it was decided who gets it and who is held out; both arms of a comparison begin here.
    column("assigned_at", Instant, nullable=True),
    column("attempts", SmallInteger, server_default=text("0")),
    column("attempt_token", Uuid, nullable=True),
    # Real time. An attempt that had begun when its lease ran out may have reached the customer.
    column("lease_expires_at", Instant, nullable=True),
    column("attempt_began_at", Instant, nullable=True),
    column("sent_at", Instant, nullable=True),
    column("error", Text, nullable=True),
    column("discount_code", Text, nullable=True),
    # Where links lead, by their index; the links themselves are signed.
    column("links", ARRAY(Text), nullable=True),
    column("sms_segments", SmallInteger, nullable=True),
    column("traceparent", Text, nullable=True),
    # Folds of campaign_engagement: the first instant of each kind.
    column("accepted_at", Instant, nullable=True),
    column("delivered_at", Instant, nullable=True),
    column("bounced_at", Instant, nullable=True),
    column("complained_at", Instant, nullable=True),
    column("unsubscribed_at", Instant, nullable=True),
    column("opened_at", Instant, nullable=True),
    column("machine_opened_at", Instant, nullable=True),
    column("clicked_at", Instant, nullable=True),
    now("created_at"),
    Index(None, "message_id", unique=True),
    Index("campaign_messages_campaign_idx", "campaign_id", "customer_id"),
    Index(
        "campaign_messages_waiting_idx",
        "campaign_id",
        "due_at",
        postgresql_where=text("state IN ('pending', 'deferred')"),
    ),
    Index("campaign_messages_leased_idx", "lease_expires_at", postgresql_where=text("state = 'leased'")),
    postgresql_with={"fillfactor": "80"},
)

campaign_engagement = Table(
    "campaign_engagement",
    metadata,
    column("source", CodePoints, primary_key=True),
    column("event_id", CodePoints, primary_key=True),
    column("message_id", Uuid),
    column("kind", Text),
    column("at", Instant),
    column("is_machine", Boolean, server_default=text("false")),
    column("details", JSONB, server_default=text("'{}'")),
    now("recorded_at"),
    Index(None, "message_id", "at"),
)

# What speaks of a message that is not known yet; looked at again until it is, or for a day.
campaign_engagement_waiting = Table(
    "campaign_engagement_waiting",
    metadata,
    column("id", BigInteger, Identity(always=True), primary_key=True),
    column("message_id", Uuid),
    # The place in the topic, as of dead letters.
    column("cluster", Text, server_default=text("''")),
    column("topic", Text),
    column("partition", Integer),
    column("offset", BigInteger),
    column("timestamp_ms", BigInteger),
    column("key", LargeBinary, nullable=True),
    column("value", LargeBinary, nullable=True),
    column("headers", JSONB, server_default=text("'[]'")),
    now("received_at"),
    Index(None, "message_id"),
    Index(None, "cluster", "topic", "partition", "offset", unique=True),
)

campaign_codes = Table(
    "campaign_codes",
    metadata,
    # In upper case: codes are compared without regard to case.
    column("code", CodePoints, primary_key=True),
    column("campaign_id", Uuid),
    column("customer_id", Uuid),
    column("message_id", Uuid),
    column("expires_at", Instant, nullable=True),
    now("created_at"),
    Index(None, "campaign_id"),
    Index(None, "customer_id"),
)

# Outlives erasure: an address is kept as a keyed hash.
campaign_suppressions = Table(
    "campaign_suppressions",
    metadata,
    column("channel", Text, primary_key=True),
    column("address_hash", LargeBinary, primary_key=True),
    # unsubscribed, hard_bounce, soft_bounce, complaint or manual
    column("reason", Text),
    column("at", Instant),
    column("message_id", Uuid, nullable=True),
    now("created_at"),
)

campaign_consents = Table(
    "campaign_consents",
    metadata,
    column("id", BigInteger, Identity(always=True), primary_key=True),
    column("customer_id", Uuid),
    column("channel", Text),
    column("is_subscribed", Boolean),
    # one_click, page, stop_keyword, provider or complaint
    column("method", Text),
    column("message_id", Uuid, nullable=True),
    column("at", Instant),
    Index(None, "customer_id"),
)
