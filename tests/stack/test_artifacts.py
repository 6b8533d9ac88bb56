"""Downloads: checked, cached, refused with a sentence that helps."""

from __future__ import annotations

import functools
import hashlib
import os
import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from service.stack import artifacts, maven
from service.stack.errors import StackError
from service.stack.maven import Pin, fetch, read_pins, repositories
from service.stack.ports import free_port

CONTENT = b"a jar"
PIN = Pin("org.example", "thing", "1.0", "", hashlib.sha256(CONTENT).hexdigest())


class Handler(SimpleHTTPRequestHandler):
    """Serves files and counts them, silently."""

    served: list[str] = []  # noqa: RUF012

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def send_head(self):
        """Count, then serve."""
        if self.path.endswith(".jar"):
            self.served.append(self.path)
        return super().send_head()


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of a Maven repository on loopback that holds the pinned file."""
    folder = tmp_path / "repository"
    place = folder / PIN.path
    place.parent.mkdir(parents=True)
    place.write_bytes(CONTENT)
    Handler.served.clear()
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(folder)))
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    monkeypatch.setenv("SEGMENTS_MAVEN_REPOSITORY", f"http://127.0.0.1:{server.server_port}/")
    monkeypatch.setenv("M2_REPO", str(tmp_path / "m2"))
    monkeypatch.setattr(maven, "TRIES", 1)
    yield folder
    server.shutdown()
    server.server_close()


class TestFetch:
    """One file from a repository."""

    def test_downloads_once(self, repository: Path, tmp_path: Path) -> None:
        """A file is downloaded the first time and taken from the cache later."""
        cache = tmp_path / "my cache"

        assert fetch([PIN], cache)[0].read_bytes() == CONTENT
        assert fetch([PIN], cache) == [cache / PIN.path]
        assert len(Handler.served) == 1
        assert [path.name for path in cache.iterdir()] == ["org"]

    def test_other_content_is_refused(self, repository: Path, tmp_path: Path) -> None:
        """A file that is not the pinned one is refused and leaves nothing in the cache."""
        (repository / PIN.path).write_bytes(b"something else")

        with pytest.raises(StackError, match=r"thing-1\.0\.jar .* not the pinned .* it was refused"):
            fetch([PIN], tmp_path / "cache")
        assert not (tmp_path / "cache" / PIN.path).exists()

    def test_damaged_cache_is_repaired(self, repository: Path, tmp_path: Path) -> None:
        """A cached file that was cut short is downloaded again."""
        [path] = fetch([PIN], tmp_path / "cache")
        path.write_bytes(CONTENT[:3])

        assert fetch([PIN], tmp_path / "cache")[0].read_bytes() == CONTENT

    def test_local_maven_repository_spares_the_download(self, repository: Path, tmp_path: Path) -> None:
        """What the user's own Maven has already is copied from there, if it is the pinned file."""
        local = tmp_path / "m2" / PIN.path
        local.parent.mkdir(parents=True)
        local.write_bytes(CONTENT)

        assert fetch([PIN], tmp_path / "cache")[0].read_bytes() == CONTENT
        assert local.exists()
        assert Handler.served == []

    def test_two_first_starts_at_once(self, repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Of two first starts at once one downloads and both have the file."""
        monkeypatch.setattr(artifacts, "read_pins", lambda: [PIN])
        with ThreadPoolExecutor(2) as pool:
            found = list(pool.map(artifacts.kafka_jars, [tmp_path, tmp_path]))

        assert found[0] == found[1]
        assert len(Handler.served) == 1

    def test_failed_download_says_what_to_do(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Without access to the repository the error names the file, the place and every way out, no password."""
        monkeypatch.setattr(maven, "TRIES", 1)
        monkeypatch.setenv("M2_REPO", str(tmp_path / "none"))
        monkeypatch.setenv("SEGMENTS_MAVEN_REPOSITORY", f"http://me:secret@127.0.0.1:{free_port()}/maven")

        with pytest.raises(StackError) as caught:
            fetch([PIN], tmp_path / "cache")
        message = str(caught.value)
        assert re.match(r"thing-1\.0\.jar could not be downloaded from 127\.0\.0\.1:\d+/maven \(", message)
        for way_out in (
            "SEGMENTS_MAVEN_REPOSITORY",
            "Docker",
            "SEGMENTS_KAFKA_BOOTSTRAP",
            "SEGMENTS_DATABASE_URL",
        ):
            assert way_out in message
        assert "secret" not in message


class TestRepositories:
    """Where files come from."""

    def test_mirror_of_the_users_maven(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A mirror of Maven Central in ~/.m2/settings.xml is used in its place."""
        monkeypatch.setenv("HOME", str(tmp_path))
        (tmp_path / ".m2").mkdir()
        (tmp_path / ".m2" / "settings.xml").write_text(
            '<settings xmlns="http://maven.apache.org/SETTINGS/1.0.0"><mirrors><mirror><mirrorOf>*</mirrorOf>'
            "<url>https://mirror.example/maven/</url></mirror></mirrors></settings>"
        )

        assert repositories() == {"central": "https://mirror.example/maven"}

    def test_plain_default(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """With an empty home Maven Central is asked."""
        monkeypatch.setenv("HOME", str(tmp_path))

        assert list(repositories()) == ["central"]


class TestCache:
    """Where files are kept, and which."""

    def test_below_the_data_directory_without_a_home(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Where the home cannot be written, the cache is in the data directory."""
        (tmp_path / "file").touch()
        monkeypatch.setenv("HOME", str(tmp_path / "file"))
        monkeypatch.delenv("XDG_CACHE_HOME", raising=False)

        assert artifacts.cache_dir(tmp_path / "data") == tmp_path / "data" / "cache"

    def test_reach(self, tmp_path: Path) -> None:
        """A folder below a closed one is out of another user's reach."""
        closed = tmp_path / "closed"
        closed.mkdir(mode=0o700)

        assert not artifacts.can_reach(closed / "inside", 12_345, 12_345)
        assert artifacts.can_reach(Path("/usr"), 12_345, 12_345)
        assert artifacts.can_reach(closed, os.geteuid(), os.getegid())

    def test_lock_file_pins_every_file(self) -> None:
        """Each line of the lock file is a coordinate with a SHA-256, and names no host."""
        pins = read_pins()

        assert all(re.fullmatch(r"[0-9a-f]{64}", pin.sha256) for pin in pins)
        assert {pin.artifact for pin in pins} >= {"kafka_2.13", "kafka-tools", "log4j-slf4j-impl", "log4j-core"}
        assert sum(pin.artifact.startswith(maven.POSTGRES_ARTIFACT) for pin in pins) == 4
        assert "/" not in maven.LOCK_FILE.read_text()
