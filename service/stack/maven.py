"""Fetch pinned files from Maven with jgo, each checked against the SHA-256 in `artifacts.lock`.

`python -m service.stack.maven` resolves the closure anew and rewrites the lock file after a change of ROOTS.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from service.stack.errors import StackError

KAFKA_VERSION = "4.3.1"
LOG4J_VERSION = "2.25.4"  # the one Kafka brings; slf4j-impl, since Kafka brings slf4j-api 1.7
POSTGRES_VERSION = "18.6.0"
POSTGRES_PLATFORMS = ("linux-amd64", "linux-arm64v8", "darwin-amd64", "darwin-arm64v8")
POSTGRES_ARTIFACT = "embedded-postgres-binaries-"

LOCK_FILE = Path(__file__).with_name("artifacts.lock")
TRIES = 3
TIMEOUT_SECONDS = 20
PARALLEL = 4


@dataclass(frozen=True)
class Pin:
    """One file of Maven at one version with its SHA-256."""

    group: str
    artifact: str
    version: str
    classifier: str
    sha256: str

    @property
    def path(self) -> Path:
        """Where the file lies below a Maven repository or cache."""
        suffix = f"-{self.classifier}" if self.classifier else ""
        name = f"{self.artifact}-{self.version}{suffix}.jar"
        return Path(*self.group.split("."), self.artifact, self.version, name)


def read_pins(lock_file: Path = LOCK_FILE) -> list[Pin]:
    """The pinned files, one a line as `group:artifact:version[:classifier]:sha256`."""
    pins = []
    for line in lock_file.read_text().split():
        group, artifact, version, *classifier, sha256 = line.split(":")
        pins.append(Pin(group, artifact, version, "".join(classifier), sha256))
    return pins


def repositories() -> dict[str, str]:
    """Where to fetch from: SEGMENTS_MAVEN_REPOSITORY, else jgo's settings and Maven's mirror or Central."""
    if own := os.environ.get("SEGMENTS_MAVEN_REPOSITORY"):
        return {"segments": own.rstrip("/")}
    from jgo.config import GlobalSettings
    from jgo.constants import MAVEN_CENTRAL_URL

    try:
        chosen = dict(GlobalSettings.load().repositories)
        mirror = _mirror(Path.home() / ".m2" / "settings.xml")
    except (OSError, RuntimeError):  # no home directory to be found
        chosen, mirror = {}, None
    return {**chosen, "central": mirror or MAVEN_CENTRAL_URL}


def _mirror(settings_file: Path) -> str | None:
    if not settings_file.is_file():
        return None
    try:
        tree = ElementTree.parse(settings_file)  # noqa: S314  the user's own settings
    except ElementTree.ParseError:
        return None
    for mirror in tree.iterfind("{*}mirrors/{*}mirror"):
        of = {name.strip() for name in (mirror.findtext("{*}mirrorOf") or "").split(",")}
        url = (mirror.findtext("{*}url") or "").strip().rstrip("/")
        if url.startswith("http") and "!central" not in of and of & {"*", "central", "external:*"}:
            return url
    return None


def fetch(pins: Iterable[Pin], cache: Path) -> list[Path]:
    """Paths of the pinned files below `cache`; those missing or damaged there are downloaded.

    The caller holds the cache's lock.

    Raises:
        StackError: a file cannot be had, or is not the pinned one.
    """
    wanted = list(pins)
    missing = [pin for pin in wanted if _sha256(cache / pin.path) != pin.sha256]
    if missing:
        cache.mkdir(parents=True, exist_ok=True)
        # Next to its place, so that the rename that ends a download cannot cross file systems.
        with tempfile.TemporaryDirectory(prefix=".download-", dir=cache) as scratch:
            executor = ThreadPoolExecutor(PARALLEL)
            try:
                list(executor.map(_downloader(Path(scratch), cache), missing))
            finally:
                executor.shutdown(cancel_futures=True)
    return [cache / pin.path for pin in wanted]


def _downloader(scratch: Path, cache: Path) -> Callable[[Pin], None]:
    from jgo.maven import MavenContext

    context = MavenContext(
        repo_cache=scratch,
        local_repos=_local_repositories(),
        remote_repos=repositories(),
        timeout=TIMEOUT_SECONDS,
    )

    def download(pin: Pin) -> None:
        path = _resolve(context, pin)
        found = _sha256(path)
        if found != pin.sha256:
            msg = (
                f"{pin.path.name} from {_names(context)} has the SHA-256 {found}, not the pinned "
                f"{pin.sha256}: it was refused. Fetch from a repository you trust "
                "(SEGMENTS_MAVEN_REPOSITORY) or use Docker."
            )
            raise StackError(msg)
        place = cache / pin.path
        place.parent.mkdir(parents=True, exist_ok=True)
        if not path.is_relative_to(scratch):
            path = Path(shutil.copy(path, scratch / pin.path.name))
        path.replace(place)

    return download


def _resolve(context: Any, pin: Pin) -> Path:
    import requests

    coordinate = ":".join(filter(None, [pin.group, pin.artifact, pin.version, pin.classifier]))
    for attempt in range(1, TRIES + 1):
        scratch = context.repo_cache / pin.path
        try:
            path = Path(context.create_dependency(coordinate).artifact.resolve())
        except (requests.RequestException, RuntimeError, OSError) as error:
            scratch.unlink(missing_ok=True)
            if attempt == TRIES:
                msg = (
                    f"{pin.path.name} could not be downloaded from {_names(context)} ({_first_line(error)}). "
                    "Check that this machine reaches that Maven repository or name another one in "
                    "SEGMENTS_MAVEN_REPOSITORY; or start Docker; or set SEGMENTS_KAFKA_BOOTSTRAP and "
                    "SEGMENTS_DATABASE_URL to servers that run already."
                )
                raise StackError(msg) from error
        else:
            if _sha256(path) == pin.sha256 or attempt == TRIES:
                return path
            scratch.unlink(missing_ok=True)  # cut short, or a damaged local copy
            context.local_repos.clear()
        time.sleep(attempt)
    raise AssertionError


def _local_repositories() -> list[Path]:
    try:
        local = Path(os.environ.get("M2_REPO") or Path.home() / ".m2" / "repository")
    except RuntimeError:
        return []
    return [local] if local.is_dir() else []


def _names(context: Any) -> str:
    # A URL may carry a password: show the host part only.
    return ", ".join(url.split("://")[-1].rpartition("@")[2] for url in context.remote_repos.values())


def _first_line(error: Exception) -> str:
    text = str(error).partition("\n")[0] or type(error).__name__
    return text if len(text) <= 200 else text[:200] + "..."


def _sha256(path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None


def resolve_lock(scratch: Path) -> list[str]:
    """The lines of a new lock file, by jgo's resolver; downloads some 250 MB.

    Args:
        scratch: an empty directory for the downloads.
    """
    from jgo.maven import MavenContext

    context = MavenContext(repo_cache=scratch, local_repos=[], remote_repos=repositories(), timeout=60)
    # Kafka alone: jgo lets every root manage the versions of all, and log4j's parent manages another Kafka.
    roots, closure = context.resolver.resolve(
        [context.create_dependency(f"org.apache.kafka:kafka_2.13:{KAFKA_VERSION}")]
    )
    found = [
        node.artifact
        for node in (*roots, *closure)
        if node.scope in (None, "compile", "runtime") and not node.optional and node.type == "jar"
    ]
    # kafka-tools without its closure (Connect, Jetty): the command line tools need none of it.
    single = [
        f"org.apache.kafka:kafka-tools:{KAFKA_VERSION}",
        f"org.apache.logging.log4j:log4j-slf4j-impl:{LOG4J_VERSION}",
        *(f"io.zonky.test.postgres:{POSTGRES_ARTIFACT}{name}:{POSTGRES_VERSION}" for name in POSTGRES_PLATFORMS),
    ]
    found += [context.create_dependency(coordinate).artifact for coordinate in single]
    lines = set()
    for artifact in found:
        parts = [artifact.groupId, artifact.artifactId, artifact.version, artifact.classifier]
        lines.add(":".join([*filter(None, parts), _sha256(Path(artifact.resolve())) or ""]))
    return sorted(lines)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as empty:
        LOCK_FILE.write_text("\n".join(resolve_lock(Path(empty))) + "\n")
