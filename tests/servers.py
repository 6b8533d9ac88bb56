"""One Kafka and one PostgreSQL for a whole test session."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from service.settings import load_settings
from service.stack.servers import Servers, start_servers


@contextmanager
def test_servers(*, fsync: bool = True) -> Iterator[Servers]:  # noqa: PT028  no test
    """Both servers, gone with their data at the end.

    Those named in SEGMENTS_DATABASE_URL and SEGMENTS_KAFKA_BOOTSTRAP are used instead and left as they are: own
    only uniquely named topics, groups and schemas there.

    Args:
        fsync: False makes PostgreSQL faster; only a power cut could tell the difference.
    """
    folder = Path(tempfile.mkdtemp(prefix="segments-test-"))
    folder.chmod(0o755)
    try:
        servers = start_servers(load_settings(), folder, fsync=fsync)
        try:
            yield servers
        finally:
            servers.stop(discard=True)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


test_servers.__test__ = False  # type: ignore[attr-defined]  # pytest: a helper, not a test
