"""Which database is meant: the configuration, the environment, TLS; secrets stay out of texts."""

from __future__ import annotations

import asyncio
import logging
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from buntime_database import DatabaseError, DatabaseUnavailable
from buntime_host import OptionError
from buntime_plugin_database.engines.postgres.engine import PostgresEntry
from buntime_plugin_database.engines.postgres.starting import prepare
from buntime_plugin_database.service import open_service
from buntime_plugin_database.service.config import DatabaseConfig, parse_config
from database.postgres.support import make_adapter, new_schema
from support.certificates import Certificates
from support.postgres import (
    ADMIN,
    ENCRYPTED,
    ESCAPED,
    GUARDED,
    PASSWORD,
    Postgres,
    folder_for_servers,
    running_postgres,
)

URL = "postgresql://app:s3cret@db.internal:5433/app?sslmode=require"
OTHER = "postgres://app:0ther@elsewhere/app"


def config(entry: dict[str, Any], **environ: str) -> DatabaseConfig:
    return parse_config({"adapters": [{"type": "postgres", **entry}]}, environ)


def entry_of(parsed: DatabaseConfig) -> PostgresEntry:
    entry: PostgresEntry = parsed.adapters[0].options
    return entry


@pytest.mark.parametrize(
    ("entry", "environ", "url", "warnings"),
    [
        ({"url": URL}, {}, URL, 0),
        ({"url": URL}, {"DATABASE_URL": URL}, URL, 0),
        ({"url": URL}, {"DATABASE_URL": OTHER}, URL, 1),
        ({}, {"DATABASE_URL": OTHER, "POSTGRES_URL": URL}, OTHER, 0),
        ({}, {"DATABASE_URL": " ", "POSTGRES_URL": URL}, URL, 0),
        *(
            ({"url": url}, {}, url, 0)
            for url in (
                "postgresql:///app",
                "postgresql://:5433/app",
                "postgresql://app:a:b@db/app",
                "postgresql://app:%2F%40@[::1]:5433,db.internal,10.0.0.1:5432/app",
                "postgresql://app@%2Fvar%2Frun%2Fpostgresql/app",
            )
        ),
    ],
)
def test_the_url(entry: dict[str, Any], environ: dict[str, str], url: str, warnings: int) -> None:
    parsed = config(entry, **environ)
    assert entry_of(parsed).url == url
    assert len(parsed.warnings) == warnings
    assert "s3cret" not in str(parsed.warnings)
    assert "0ther" not in str(parsed.warnings)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({}, "URL is required for postgres adapter, or one of DATABASE_URL, POSTGRES_URL"),
        ({"url": "mysql://a:s3cret@b/c"}, "url: it begins with postgresql://, not with mysql"),
        ({"url": "/var/s3cret.db"}, "url: it begins with postgresql://, not with a path"),
        ({"url": "postgres://a:s3cret#1@b/c"}, "url: it has a #, which in a password is"),
        ({"url": "postgres://a:s3cret@[b/c"}, "url: it is not a URL"),
        ({"url": "postgres://a:s3cret/1@b/c"}, "a password the characters : / ? # [ ] @ % are"),
        ({"url": "postgres://a:1/s3cret@b/c"}, "a password the characters"),
        ({"url": "postgres://a:s3cret?1@b/c"}, "a password the characters"),
        ({"url": "postgres://a:s3cret@1@b/c"}, "a password the characters"),
        ({"url": "postgres://a:p@b:s3cret/c"}, "postgresql://user:password@host:port/database"),
        ({"url": "postgres://a:p@b,,c/d"}, "postgresql://user:password@host:port/database"),
        ({"url": f"{URL}&search_path=x"}, "url: search_path is not taken: the option schema"),
        ({"url": f"{URL}&options=-csearch_path=x"}, "url: options is not taken"),
        ({"url": URL, "listenUrl": "http://s3cret"}, "listenUrl: it begins with postgresql://"),
        (
            {"url": URL, "schema": "Public"},
            "schema: 'Public' is not a name of 1 to 63 small letters",
        ),
        ({"url": URL, "schema": "a-b"}, "schema: 'a-b' is not a name"),
        ({"url": URL, "schema": "pg_mine"}, "schema: 'pg_mine' is not a name"),
        ({"url": URL, "poolSize": 2}, "poolSize: must be at least 3, received 2"),
        ({"url": URL, "statementCacheSize": -1}, "statementCacheSize: must be at least 0"),
        ({"url": URL, "operationTimeout": 0}, "operationTimeout: must be"),
        ({"url": URL, "pollSize": 5}, "unknown field `pollSize`"),
    ],
)
def test_a_wrong_entry(entry: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError) as raised:
        config(entry)
    assert message in str(raised.value)
    assert "s3cret" not in str(raised.value)


def test_settings() -> None:
    entry = entry_of(
        config(
            {
                "url": URL,
                "poolSize": 20,
                "schema": "kv",
                "statementTimeout": "2m",
                "operationTimeout": 500,
                "statementCacheSize": 0,
                "listenUrl": OTHER,
            }
        )
    )
    settings = entry.settings()
    assert (settings.pool_size, settings.schema, settings.statement_cache) == (20, "kv", 0)
    assert (settings.statement_seconds, settings.timeout_seconds) == (120, 0.5)
    assert settings.listen_url == OTHER


async def test_without_the_driver_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [*sys.modules]:
        if name.startswith("buntime_plugin_database.engines.postgres.") or name == "asyncpg":
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "asyncpg", None)
    with pytest.raises(OptionError, match=r'pip install "buntime\[postgres\]"'):
        await open_service(config({"url": URL}), tmp_path)


async def test_the_service_opens_it_and_makes_its_schema(
    postgres: Postgres, tmp_path: Path
) -> None:
    schema = new_schema()
    entry = {"url": postgres.url_of("postgres", GUARDED), "schema": schema}
    for _ in range(2):
        service = await open_service(config(entry), tmp_path)
        adapter = service.get_root_adapter("postgres")
        await adapter.execute("CREATE TABLE IF NOT EXISTS t (x int)")
        assert await adapter.query("SELECT current_schema(), current_user") == [(schema, GUARDED)]
        assert await service.check() is None
        await service.close()
    assert postgres.run(f"SELECT to_regclass('{schema}.t')") == [f"{schema}.t"]


@pytest.mark.parametrize(
    "change", [("s3cret", "wr0ng"), ("/postgres", "/n0where"), (GUARDED, "n0body")]
)
async def test_who_is_not_let_in_is_told_at_once_and_without_secrets(
    postgres: Postgres, change: tuple[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    adapter = make_adapter(postgres.url_of("postgres", GUARDED).replace(*change))
    with caplog.at_level(logging.DEBUG), pytest.raises(DatabaseUnavailable) as raised:
        async with asyncio.timeout(30):  # which would be raised as another error
            await prepare(adapter, 60)
    for secret in ("s3cret", "wr0ng", ESCAPED, PASSWORD):
        assert secret not in repr(raised.value)
        assert secret not in caplog.text
    await adapter.close()


async def test_what_the_server_has_as_default_does_not_matter(postgres: Postgres) -> None:
    database = postgres.create_database()
    for setting in (
        "default_transaction_isolation TO 'serializable'",
        "default_transaction_read_only TO on",
        "standard_conforming_strings TO off",
        "search_path TO nowhere",
        "statement_timeout TO 1",
        "TimeZone TO 'Asia/Tokyo'",
        "DateStyle TO 'German'",
    ):
        postgres.run(f"ALTER DATABASE {database} SET {setting}")
    adapter = make_adapter(postgres.url_of(database))
    await prepare(adapter, 10)
    await adapter.execute("CREATE TABLE t (x text)")
    await adapter.execute("INSERT INTO t VALUES ('a\\')")
    sql = "SELECT x, current_setting('transaction_isolation'), '2026-03-01'::date FROM t"
    assert await adapter.query(sql) == [("a\\", "read committed", "2026-03-01")]
    await adapter.close()


@pytest.mark.parametrize("statement_cache", [100, 0])
async def test_no_statement_is_compiled(postgres: Postgres, statement_cache: int) -> None:
    adapter = make_adapter(postgres.url, statement_cache=statement_cache)
    await prepare(adapter, 10)
    assert await adapter.query("SELECT current_setting('jit')") == [("off",)]
    await adapter.close()


@pytest.mark.parametrize("is_off", [True, False])
async def test_a_server_that_may_lose_answered_writes_is_told_of(
    postgres: Postgres, caplog: pytest.LogCaptureFixture, is_off: bool
) -> None:
    database = postgres.create_database()
    value = "off" if is_off else "on"
    postgres.run(f"ALTER DATABASE {database} SET synchronous_commit TO {value}")
    adapter = make_adapter(postgres.url_of(database))
    await prepare(adapter, 10)
    await adapter.close()
    assert ("synchronous_commit is off there" in caplog.text) is is_off
    assert "fsync is off there" in caplog.text


async def test_another_encoding_is_refused(postgres: Postgres) -> None:
    postgres.run("CREATE DATABASE ascii ENCODING 'SQL_ASCII' TEMPLATE template0 LOCALE 'C'")
    adapter = make_adapter(postgres.url_of("ascii"))
    with pytest.raises(DatabaseUnavailable, match="in UTF8, not in SQL_ASCII"):
        await prepare(adapter, 60)
    await adapter.close()


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed: TLS is NOT tested")
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def tls_server(certificates: Certificates) -> Iterator[Postgres]:
    """A server with a certificate for `localhost`."""
    with folder_for_servers() as folder:
        files = []
        for source in certificates.signed("localhost"):
            place = folder / Path(source).name
            shutil.copyfile(source, place)
            place.chmod(0o600)
            shutil.chown(place, folder.owner())
            files.append(str(place))
        settings = {
            "fsync": "off",
            "ssl": "on",
            "ssl_cert_file": files[0],
            "ssl_key_file": files[1],
        }
        with running_postgres(settings) as server:
            yield server


async def connects(url: str) -> str:
    """`yes`, or why not."""
    adapter = make_adapter(url, schema="public")
    try:
        await prepare(adapter, 0.1)
    except DatabaseError as error:
        return str(error)
    finally:
        await adapter.close()
    return "yes"


async def test_tls(
    tls_server: Postgres, certificates: Certificates, tmp_path: Path, postgres: Postgres
) -> None:
    other = Certificates(tmp_path)
    by_address = tls_server.url_of("postgres", ENCRYPTED)
    by_name = by_address.replace("127.0.0.1", "localhost")
    ours, theirs = f"&sslrootcert={certificates.authority}", f"&sslrootcert={other.authority}"
    assert await connects(f"{by_address}?sslmode=require") == "yes"
    assert await connects(f"{by_address}?sslmode=prefer") == "yes"
    assert await connects(f"{by_name}?sslmode=verify-full{ours}") == "yes"
    assert await connects(f"{by_address}?sslmode=verify-ca{ours}") == "yes"
    assert "rejects" in await connects(f"{by_address}?sslmode=disable")
    assert "mismatch" in await connects(f"{by_address}?sslmode=verify-full{ours}")
    assert "certificate" in await connects(f"{by_name}?sslmode=verify-full{theirs}")
    assert "SSL" in await connects(f"{postgres.url_of('postgres', ADMIN)}?sslmode=require")
