"""The pure parts of admin-api: who may what, who waits, what a name is."""

from datetime import timedelta

import pytest
from argon2 import PasswordHasher

from tripost_admin_api.access.actor import Actor, Permission, Scope, permission, takes_password
from tripost_admin_api.access.passwords import Passwords, complaint_about, one_time_password
from tripost_admin_api.access.throttle import MOST_KEPT, LoginThrottle
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


def test_accounts_and_addresses_wait_each_by_itself() -> None:
    throttle = LoginThrottle(FrozenClock())
    for number in range(5):
        assert not throttle.attempt("address 192.0.2.1", f"account {number}")
    assert throttle.attempt("address 192.0.2.1", "account other") > timedelta(0)
    assert not throttle.attempt("address 192.0.2.2", "account other")


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


def test_a_one_time_password_is_one_that_would_be_accepted() -> None:
    assert complaint_about(one_time_password()) == ""
    assert one_time_password() != one_time_password()


@pytest.mark.parametrize("password", ["short", "x" * 600, "with\nline end", "half \ud800 surrogate"])
def test_passwords_that_are_not_accepted(password: str) -> None:
    assert complaint_about(password)


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
        (names.searched_address, "@Far.Example", "@far.example"),
        (names.searched_address, "Postmaster", "postmaster"),
        (names.message_or_session, " 1k3v9q2m8f0abcde ", "1k3v9q2m8f0abcde"),
        (names.token_name, "backup-job.1", "backup-job.1"),
        (names.network, "192.0.2.1", "192.0.2.1/32"),
        (names.network, "2001:db8::/32", "2001:db8::/32"),
    ],
)
def test_names_have_one_form(check: object, given: str, canonical: str) -> None:
    assert callable(check)
    assert check(given) == canonical
    assert check(canonical) == canonical


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
