"""The live socket: what comes, to whom, and how it ends."""

from __future__ import annotations

import asyncio
import json
import time
from uuid import UUID, uuid4

import jwt
import pytest

from service.adapters.postgres.database import Database
from service.app.tokens import LEEWAY_SECONDS, Permission
from tests.api.support import SECRET, bearer, token
from tests.integration.live.conftest import (
    Live,
    Publisher,
    goodbye,
    ids_of,
    received,
    refused,
    until,
)
from tests.world import create

A, B, C = UUID(int=1), UUID(int=2), UUID(int=3)
NOTHING_SECONDS = 0.5


async def segments_of(database: Database, *names: str) -> list[str]:
    """Ids of new segments."""
    found = await create(database, {name: {} for name in names}, "2024-02-29T12:00:00Z")
    return [found[name] for name in names]


class TestEvents:
    """What comes."""

    async def test_structured(self, live: Live, publisher: Publisher) -> None:
        """An event comes as one message: the CloudEvent in structured JSON, with the data as published."""
        async with live.connect() as client:
            await publisher.send([A], name='Jo"\u00e9')
            (found,) = await received(client, 1)

        data = found.pop("data")
        assert found == {
            "specversion": "1.0",
            "id": "t-1",
            "source": "/customer-segments",
            "type": "segment.joined",
            "subject": data["customer_id"],
            "time": "2024-02-29T12:00:00Z",
            "datacontenttype": "application/json",
        }
        assert (data["segment_id"], data["segment_name"]) == (str(A), 'Jo"\u00e9')

    async def test_only_what_is_committed_from_now_on(self, live: Live, publisher: Publisher) -> None:
        """What came before the socket does not come, nor what was aborted, nor what is no event of ours."""
        await publisher.send([A])
        async with live.connect() as client:
            await publisher.send([A, B, C], is_aborted=True)
            await publisher.send_raw(b"{", [("ce_type", b"segment.joined")])
            await publisher.send_raw(b'{"segment_id": 5}', [("ce_type", b"segment.left")])
            await publisher.send_raw(b"{}", [("ce_type", b"other")])
            await publisher.send([B])

            assert await ids_of(client, 1) == ["t-5"]
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(client.recv(), NOTHING_SECONDS)

    async def test_an_open_transaction_is_waited_for(self, live: Live, publisher: Publisher) -> None:
        """What was sent before the socket was opened and committed after it comes."""
        await publisher._producer.begin_transaction()
        await publisher._producer.send_and_wait(
            live.settings.membership_topic,
            json.dumps({"segment_id": str(A)}).encode(),
            headers=[("ce_type", b"segment.left"), ("ce_id", b"t-9")],
        )
        async with live.connect() as client:
            await publisher._producer.commit_transaction()

            assert await ids_of(client, 1) == ["t-9"]

    async def test_segments(self, live: Live, publisher: Publisher, database: Database) -> None:
        """segment= limits it, once or several times, with commas too; without it all come."""
        first, second, third = await segments_of(database, "a", "b", "c")
        sent = [UUID(one) for one in (first, second, third)]
        async with (
            live.connect(f"?segment={first.upper()}") as one,
            live.connect(f"?segment={first},%20{second}") as commas,
            live.connect(f"?segment={first}&segment={third}") as twice,
            live.connect() as everything,
        ):
            await publisher.send(sent)
            await publisher.send(sent)

            assert await ids_of(one, 2) == ["t-1", "t-4"]
            assert await ids_of(commas, 4) == ["t-1", "t-2", "t-4", "t-5"]
            assert await ids_of(twice, 4) == ["t-1", "t-3", "t-4", "t-6"]
            assert await ids_of(everything, 6) == [f"t-{number}" for number in range(1, 7)]

    async def test_many(self, live: Live, publisher: Publisher) -> None:
        """A hundred sockets are served by one consumer, which is there while somebody listens and no longer."""
        assert not live.is_reading
        clients = [await live.connect() for _ in range(100)]
        assert live.is_reading
        await publisher.send([A] * 200)
        found = await asyncio.gather(*(ids_of(client, 200) for client in clients))
        await asyncio.gather(*(client.close() for client in clients[1:]))

        assert all(ids == [f"t-{number}" for number in range(1, 201)] for ids in found)
        assert live.is_reading
        await clients[0].close()
        await until(lambda: not live.is_reading)
        async with live.connect() as client:
            await publisher.send([B])
            assert await ids_of(client, 1) == ["t-201"]

    async def test_new_partitions(self, live: Live, publisher: Publisher, monkeypatch: pytest.MonkeyPatch) -> None:
        """Partitions that are added while a socket listens are read from their beginning."""
        from aiokafka.admin import AIOKafkaAdminClient, NewPartitions

        monkeypatch.setattr("service.adapters.kafka.tail.METADATA_MS_MAX", 200)
        admin = AIOKafkaAdminClient(bootstrap_servers=live.settings.kafka_bootstrap)
        await admin.start()
        async with live.connect() as client:
            await admin.create_partitions({live.settings.membership_topic: NewPartitions(total_count=6)})
            await admin.close()
            async with live.publishing() as later:
                await later.send([A] * 60)

            assert len(await ids_of(client, 60)) == 60


class TestTokens:
    """Who may listen."""

    async def test_refused(self, live: Live) -> None:
        """No token, a bad one, one without the permission: refused in HTTP, before the upgrade, with a sentence."""
        others = [one for one in Permission if one is not Permission.READ]
        nobody = await refused(live, additional_headers={})
        bad = await refused(live, "?token=a.b.c", additional_headers={})
        basic = await refused(live, additional_headers={"authorization": "Basic dTpw"})
        other = await refused(live, permissions=others)
        of_query = await refused(live, f"?token={token(*others)}", additional_headers={})

        assert [nobody[0], bad[0], basic[0], other[0], of_query[0]] == [401, 401, 401, 403, 403]
        assert "token" in nobody[1]["message"]
        assert "customer_segments:read" in other[1]["message"]
        assert not live.is_reading

    async def test_query(self, live: Live, publisher: Publisher) -> None:
        """A token in the query does as well; the header counts where there are both."""
        good = token(Permission.READ)
        async with live.connect(f"?token={good}", additional_headers={}) as client:
            await publisher.send([A])
            assert await ids_of(client, 1) == ["t-1"]

        assert (await refused(live, f"?token={good}", additional_headers=bearer("x.y.z")))[0] == 401
        async with live.connect("?token=x.y.z"):
            pass

    async def test_expiry(self, live: Live, publisher: Publisher) -> None:
        """The socket ends with its token."""
        now = time.time()
        claims = {"iss": "customer-segments", "aud": "customer-segments", "sub": "u", "permissions": [Permission.READ]}
        short = jwt.encode({**claims, "iat": int(now), "exp": now - LEEWAY_SECONDS + 2}, SECRET)
        async with live.connect(additional_headers=bearer(short)) as client:
            await publisher.send([A])
            assert await ids_of(client, 1) == ["t-1"]
            code, said = await goodbye(client)

        assert (code, "expired" in said) == (4401, True)
        assert 0.5 < time.time() - now < 5

    async def test_parameters(self, live: Live, database: Database) -> None:
        """What cannot be used is a 422 that names it; a segment that is not there is a 404."""
        (there,) = await segments_of(database, "a")
        many = ",".join(str(uuid4()) for _ in range(101))
        cases = {"?segment=": 422, "?segment=vip": 422, f"?segment={there},": 422, f"?segment={many}": 422}
        cases |= {"?since=0": 422, f"?segment={uuid4()}": 404, f"?segment={there}&segment={uuid4()}": 404}
        found = {query: (await refused(live, query))[0] for query in cases}

        assert found == cases
