"""The pure parts of admin-api: who may what, who waits, what a name is."""

import asyncio
import threading
from collections.abc import Callable
from datetime import timedelta

import pytest
from argon2 import PasswordHasher

from tripost_admin_api.access.actor import Actor, Permission, Scope, permission, takes_password
from tripost_admin_api.access.common_passwords import COMMON_PASSWORDS
from tripost_admin_api.access.passwords import AT_A_TIME, Passwords, complaint_about, one_time_password
from tripost_admin_api.access.throttle import MOST_KEPT, LoginThrottle, keys_of
from tripost_admin_api.access.tokens import digest_of, new_token
from tripost_admin_api.api import names, paging
from tripost_admin_api.api.problems import Problem
from tripost_shared.clock import FrozenClock
from tripost_shared.database.password_hashes import PasswordHashes

ADMIN = Actor("token a", Scope.ADMIN)
READER = Actor("token r", Scope.READ)
OPERATOR = Actor("operator admin", None, "admin")
NEWCOMER = Actor("operator admin", None, "admin", must_change_password=True)
OWN_PASSWORD = "/api/v1/operators/admin/password"


@pytest.mark.parametrize(
    ("actor", "method", "path", "answer"),
    [
        (ADMIN, "DELETE", "/api/v1/domains/a.test", Permission.GRANTED),
        (ADMIN, "POST", "/api/v1/session", Permission.NEEDS_LOGIN),
        (ADMIN, "PUT", OWN_PASSWORD, Permission.GRANTED),
        (READER, "GET", "/api/v1/domains", Permission.GRANTED),
        (READER, "POST", "/api/v1/domains", Permission.READ_ONLY),
        (READER, "PUT", OWN_PASSWORD, Permission.READ_ONLY),
        (READER, "BREW", "/api/v1/domains", Permission.READ_ONLY),
        (OPERATOR, "POST", "/api/v1/session", Permission.GRANTED),
        (OPERATOR, "PUT", OWN_PASSWORD, Permission.GRANTED),
        (OPERATOR, "PUT", "/api/v1/operators/other/password", Permission.TOO_LITTLE),
        (OPERATOR, "GET", "/api/v1/domains", Permission.TOO_LITTLE),
        (NEWCOMER, "PUT", OWN_PASSWORD, Permission.GRANTED),
        (NEWCOMER, "POST", "/api/v1/session", Permission.NEEDS_CHANGE),
        (NEWCOMER, "GET", "/api/v1/domains", Permission.NEEDS_CHANGE),
    ],
)
def test_what_an_actor_may(actor: Actor, method: str, path: str, answer: Permission) -> None:
    assert permission(actor, method, path) is answer


def test_a_password_is_taken_at_two_places_only() -> None:
    assert takes_password("POST", "/api/v1/session")
    assert takes_password("PUT", OWN_PASSWORD)
    assert not takes_password("GET", "/api/v1/session")
    assert not takes_password("PUT", "/api/v1/mailboxes/a@b.test/password")


def test_the_wait_doubles_from_the_sixth_failure_and_ends_at_a_minute() -> None:
    clock = FrozenClock()
    throttle = LoginThrottle(clock)
    waits = []
    for _ in range(13):
        wait = throttle.attempt("account admin")
        waits.append(wait.total_seconds())
        if wait:
            clock.advance(wait)
            assert throttle.attempt("account admin") == timedelta(0)
    assert waits == [0, 0, 0, 0, 0, 1, 2, 4, 8, 16, 32, 60, 60]


def test_a_network_waits_whatever_the_account() -> None:
    throttle = LoginThrottle(FrozenClock())
    for number in range(5):
        assert not throttle.attempt(*keys_of(f"192.0.2.{number}", f"account {number}"))
    assert throttle.attempt(*keys_of("192.0.2.200", "other")) > timedelta(0)
    assert not throttle.attempt(*keys_of("198.51.100.1", "account 1"))


def test_a_login_of_another_account_from_the_same_network_is_no_pardon() -> None:
    throttle = LoginThrottle(FrozenClock())
    for _ in range(5):
        throttle.attempt(*keys_of("192.0.2.1", "admin"))
        throttle.succeeded(*keys_of("192.0.2.1", "other"))
    assert throttle.attempt(*keys_of("192.0.2.1", "admin")) > timedelta(0)
    assert not throttle.attempt(*keys_of("192.0.2.1", "other"))


def test_an_attack_from_everywhere_keeps_no_operator_out() -> None:
    clock = FrozenClock()
    throttle = LoginThrottle(clock)
    for attacker in range(1000):
        throttle.attempt(*keys_of(f"10.{attacker // 250}.{attacker % 250}.1", "admin"))
        operator = keys_of("192.0.2.1", "admin")
        assert not throttle.attempt(*operator)
        throttle.succeeded(*operator)
        clock.advance(timedelta(milliseconds=100))


@pytest.mark.parametrize(
    ("one", "other", "are_one"),
    [
        ("192.0.2.1", "192.0.2.254", True),
        ("192.0.2.1", "::ffff:192.0.2.9", True),
        ("192.0.2.1", "192.0.3.1", False),
        ("2001:db8::1", "2001:db8::ffff:1", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("fe80::1%eth0", "fe80::2%eth0", True),
        ("", "", True),
    ],
)
def test_a_client_commands_a_whole_network(one: str, other: str, are_one: bool) -> None:
    assert (keys_of(one, "admin") == keys_of(other, "admin")) is are_one


def test_attempts_side_by_side_count_before_their_outcome_is_known() -> None:
    throttle = LoginThrottle(FrozenClock())
    assert sum(not throttle.attempt("account admin") for _ in range(100)) == 5


def test_a_success_and_a_quarter_of_an_hour_are_forgiving() -> None:
    clock = FrozenClock()
    throttle = LoginThrottle(clock)
    for _ in range(5):
        throttle.attempt("account admin")
    throttle.succeeded("account admin")
    for _ in range(5):
        assert not throttle.attempt("account admin")
    clock.advance(timedelta(minutes=15, seconds=1))
    for _ in range(5):
        assert not throttle.attempt("account admin")


def test_what_the_throttle_remembers_is_bounded() -> None:
    throttle = LoginThrottle(FrozenClock())
    for number in range(MOST_KEPT + 10):
        throttle.attempt(f"address {number}")
    assert len(throttle._failures) == MOST_KEPT


def test_tokens_differ_and_say_what_they_are() -> None:
    tokens = {new_token() for _ in range(100)}
    assert len(tokens) == 100
    assert all(token.startswith("tripost_") and len(token) > 50 for token in tokens)
    assert digest_of("a") != digest_of("b")


async def test_passwords_are_verified_against_their_hash_alone() -> None:
    passwords = Passwords(PasswordHashes(PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)))
    hashed = await passwords.hash("correct horse")
    assert hashed.startswith("$argon2id$")
    assert await passwords.verify("correct horse", hashed)
    assert not await passwords.verify("battery staple", hashed)
    assert not await passwords.verify("correct horse", None)
    assert not await passwords.verify("correct horse", "no hash at all")


class SlowHashes(PasswordHashes):
    """Counts how many are at work at once; none ends before it is released."""

    def __init__(self) -> None:
        self.released = threading.Event()
        self.begun = 0

    def match(self, _password: str, _password_hash: str | None) -> bool:
        self.begun += 1
        return self.released.wait(10)


async def test_however_many_log_in_at_once_few_passwords_are_verified_at_a_time() -> None:
    hashes = SlowHashes()
    passwords = Passwords(hashes)
    logins = [asyncio.create_task(passwords.verify("x", None)) for _ in range(20)]
    async with asyncio.timeout(10):
        while hashes.begun < AT_A_TIME:  # noqa: ASYNC110 (nothing tells when)
            await asyncio.sleep(0.001)
    begun = hashes.begun
    hashes.released.set()
    assert all(await asyncio.gather(*logins))
    assert (begun, hashes.begun) == (AT_A_TIME, 20)


def test_a_one_time_password_is_one_that_would_be_accepted() -> None:
    assert complaint_about(one_time_password(), "admin") == ""
    assert one_time_password() != one_time_password()


@pytest.mark.parametrize(
    ("password", "told"),
    [
        pytest.param("short", "at least 8 characters", id="short"),
        pytest.param("xy" * 300, "at most 512 octets", id="long"),
        pytest.param("with\nline end", "no control characters", id="a line end"),
        pytest.param("half \ud800 surrogate", "no control characters", id="no text"),
        pytest.param("aaaaaaaA", "one character repeated", id="one character"),
        pytest.param(" " * 8, "one character repeated", id="spaces"),
        pytest.param("Password", "tried first", id="the most common one"),
        pytest.param("12345678", "tried first", id="digits in a row"),
        pytest.param(" qwertyuiop ", "tried first", id="a row of keys, with spaces around"),
        pytest.param("\u00a0qwertyuiop\u2003", "tried first", id="the same with other spaces, which are equal"),
        pytest.param("e\u0301e\u0301e\u0301e\u0301", "at least 8 characters", id="short once it is composed"),
        pytest.param("Long.Name@Local.test", "the name of its account", id="the address"),
        pytest.param("long.name", "the name of its account", id="the local part"),
        pytest.param("local.test", "the name of its account", id="the domain"),
    ],
)
def test_passwords_that_are_not_accepted(password: str, told: str) -> None:
    assert told in complaint_about(password, "long.name@local.test")


@pytest.mark.parametrize(
    "password",
    ["correct horse", "correct\u00a0horse", "tr0ub4dor", "password of mine", "aaaaaaab", "long.name2"],
)
def test_passwords_that_are_accepted(password: str) -> None:
    assert complaint_about(password, "long.name@local.test") == ""


def test_every_common_password_on_the_list_is_one_that_nothing_else_refuses() -> None:
    """In the form in which it is compared; a shorter one would stand there in vain."""
    for password in COMMON_PASSWORDS:
        assert password == password.casefold()
        assert "tried first" in complaint_about(password, "user@local.test")


@pytest.mark.parametrize(
    ("check", "given", "canonical"),
    [
        (names.domain, "Local.TEST.", "local.test"),
        (names.domain, "bücher.example", "xn--bcher-kva.example"),
        (names.mailbox, "User+Tag@Local.test", "user+tag@local.test"),
        (names.alias, "*@Local.test", "*@local.test"),
        (names.target, "Ann@Far.example", "Ann@far.example"),
        (names.grant_pattern, "@Far.example", "@far.example"),
        (names.route_domain, ".Example.org", ".example.org"),
        (names.route_domain, "*", "*"),
        (names.host, "Smtp.Example.org", "smtp.example.org"),
        (names.host, "127.0.0.1", "127.0.0.1"),
        (names.host, "[192.0.2.1]", "192.0.2.1"),
        (names.host, "[IPv6:2001:DB8::1]", "2001:db8::1"),
        (names.host, "2001:db8::1", "2001:db8::1"),
        (names.client_address, "[IPv6:2001:DB8::7]", "2001:db8::7"),
        (names.client_address, "::ffff:192.0.2.7", "192.0.2.7"),
        (names.searched_sender, "<>", "<>"),
        (names.searched_address, "Ann@Bücher.example", "ann@xn--bcher-kva.example"),
        (names.searched_address, "E\u0301ve@far.example", "\u00e9ve@far.example"),
        (names.searched_address, "@Far.Example", "@far.example"),
        (names.searched_address, "Postmaster", "postmaster"),
        (names.message_or_session, " 1k3v9q2m8f0abcde ", "1k3v9q2m8f0abcde"),
        (names.token_name, "backup-job.1", "backup-job.1"),
        (names.network, "192.0.2.1", "192.0.2.1/32"),
        (names.network, "2001:db8::/32", "2001:db8::/32"),
        (names.relay_network, "10.0.0.0/8", "10.0.0.0/8"),
        (names.relay_network, "2600::/16", "2600::/16"),
        (names.relay_network, "64:ff9b::a00:0/104", "64:ff9b::a00:0/104"),
        (names.relay_network, "2002:a00::/24", "2002:a00::/24"),
        (names.relay_network, "::1", "::1/128"),
        (names.exempt_network, "::/1", "::/1"),
    ],
)
def test_names_have_one_form(check: object, given: str, canonical: str) -> None:
    assert callable(check)
    assert check(given) == canonical
    assert check(canonical) == canonical


@pytest.mark.parametrize("check", [names.network, names.relay_network, names.exempt_network, names.client_address])
@pytest.mark.parametrize("given", ["fe80::1%lo", "fe80::1%", '::1%"><x'])
def test_no_network_and_no_client_has_a_zone(check: Callable[[str], str], given: str) -> None:
    with pytest.raises(ValueError, match="accepted is one"):
        check(given)


def test_a_stored_address_is_put_together_as_it_was_taken_apart() -> None:
    for address in ("user@local.test", '"odd name"@local.test', "*@local.test", "dörte@local.test"):
        assert names.joined(*names.halves(address)) == address


def test_a_cursor_leads_back_to_its_place_and_garbage_nowhere() -> None:
    assert paging.decode(paging.encode(["a", "b"]), tuple[str, str]) == ("a", "b")
    assert paging.decode("", tuple[str]) is None
    for garbage in ("x", "%%%", paging.encode(["a"]), paging.encode([1, 2]), paging.encode(["\0", "b"])):
        with pytest.raises(Problem):
            paging.decode(garbage, tuple[str, str])


def test_a_part_has_a_cursor_when_there_is_more() -> None:
    assert paging.part([1, 2], 2, lambda row: [row]) == ([1, 2], None)
    items, cursor = paging.part([1, 2, 3], 2, lambda row: [row])
    assert items == [1, 2]
    assert paging.decode(cursor or "", tuple[int]) == (2,)
