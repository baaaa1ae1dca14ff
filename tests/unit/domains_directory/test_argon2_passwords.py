"""argon2id in threads."""

import asyncio
import time
from collections.abc import Iterator

import pytest

from tripost_domains.adapters.argon2_passwords import Argon2Passwords
from tripost_domains.ports import TooBusy
from tripost_shared.database.password_hashes import PasswordHashes

PASSWORD = "correct horse"


@pytest.fixture(scope="module")
def password_hash() -> str:
    return PasswordHashes().make(PASSWORD)


@pytest.fixture
def passwords() -> Iterator[Argon2Passwords]:
    passwords = Argon2Passwords(threads=1, waiting=2)
    yield passwords
    passwords.close()


async def test_the_right_password_matches(passwords: Argon2Passwords, password_hash: str) -> None:
    assert await passwords.verify(password_hash, PASSWORD)


@pytest.mark.parametrize("wrong", ["", "Correct horse", "correct horse ", "\udc80", "correct\0horse"])
async def test_any_other_does_not(passwords: Argon2Passwords, password_hash: str, wrong: str) -> None:
    assert not await passwords.verify(password_hash, wrong)


@pytest.mark.parametrize("broken", ["x", "$argon2id$v=19$m=1,t=1,p=1$x$y", "$2b$12$abcdefghijklmnopqrstuv"])
async def test_what_is_no_argon2_hash_never_matches(passwords: Argon2Passwords, broken: str) -> None:
    assert not await passwords.verify(broken, PASSWORD)


async def test_no_hash_takes_as_long_as_one(passwords: Argon2Passwords, password_hash: str) -> None:
    """The least of several tries, since the machine may be busy."""

    async def least(with_hash: str | None) -> float:
        seconds = []
        for _ in range(5):
            begun = time.perf_counter()
            assert not await passwords.verify(with_hash, "wrong")
            seconds.append(time.perf_counter() - begun)
        return min(seconds)

    known, unknown = await least(password_hash), await least(None)
    assert 0.5 < known / unknown < 2


async def test_more_than_may_wait_are_told_so_at_once(passwords: Argon2Passwords, password_hash: str) -> None:
    waiting = [asyncio.create_task(passwords.verify(password_hash, PASSWORD)) for _ in range(3)]
    await asyncio.sleep(0)
    with pytest.raises(TooBusy):
        await passwords.verify(password_hash, PASSWORD)
    assert await asyncio.gather(*waiting) == [True, True, True]
    assert await passwords.verify(password_hash, PASSWORD)
