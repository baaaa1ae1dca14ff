"""The first start of several replicas on one database."""

import asyncio
from pathlib import Path

import pytest
from sqlalchemy import func, select

from tripost_admin_api.access.passwords import Passwords
from tripost_admin_api.access.tokens import digest_of
from tripost_admin_api.adapters.bootstrap import Bootstrap, Places
from tripost_admin_api.api.parts import Parts
from tripost_admin_api.configuration.changes import current_revision
from tripost_shared.database.models import ApiToken, Operator
from tripost_shared.settings import SettingsError


def bootstrap(parts: Parts, home: Path) -> Bootstrap:
    return Bootstrap(parts.database, parts.passwords, Places.under(home, None))


async def test_replicas_that_start_at_once_make_one_operator_whose_password_is_told(
    parts: Parts, tmp_path: Path
) -> None:
    homes = [tmp_path / name for name in ("one", "two", "three")]
    await asyncio.gather(*(bootstrap(parts, home).run("https://127.0.0.1:8443", None) for home in homes))
    told = [home / "run" / "first-password" for home in homes if (home / "run" / "first-password").exists()]
    assert len(told) == 1
    async with parts.database.reading() as session:
        operators = (await session.scalars(select(Operator))).all()
    assert [operator.name for operator in operators] == ["admin"]
    assert operators[0].must_change_password
    assert await parts.passwords.verify(told[0].read_text().strip(), operators[0].password_hash)


async def test_a_token_file_that_is_good_is_kept(parts: Parts, tmp_path: Path) -> None:
    for _ in range(2):
        await bootstrap(parts, tmp_path).run("https://127.0.0.1:8443", None)
    token = (tmp_path / "cli" / "token").read_text().strip()
    async with parts.database.reading() as session:
        assert await session.scalar(select(ApiToken.token_sha256)) == digest_of(token)
        assert await session.scalar(select(func.count()).select_from(ApiToken)) == 1
        assert await current_revision(session) == 2


async def test_a_password_that_could_not_be_told_does_not_become_the_operators(parts: Parts, tmp_path: Path) -> None:
    """Else nobody could ever get in."""
    (tmp_path / "run").write_text("no folder")
    with pytest.raises(SettingsError, match="TRIPOST_HOME"):
        await bootstrap(parts, tmp_path).run("https://127.0.0.1:8443", None)
    async with parts.database.reading() as session:
        assert await session.scalar(select(func.count()).select_from(Operator)) == 0


async def test_hashing_at_first_start_costs_what_is_recommended() -> None:
    """OWASP's least: 19 MiB of memory, two passes."""
    assert "m=19456,t=2,p=1" in await Passwords().hash("correct horse")
