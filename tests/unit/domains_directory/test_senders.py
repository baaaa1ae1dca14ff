"""Which reverse-paths a login may use."""

import pytest

from tripost_domains.adapters.memory_directory import MemoryDirectoryRecords
from tripost_domains.directory.senders import Senders
from tripost_domains.directory.service import Directory
from tripost_shared.clock import FrozenClock
from tripost_shared.contracts.domains import MaySendQuestion
from tripost_shared.mail.failures import TransientFailure

DIRECTORY = (
    "mailbox ann@dest.example",
    "mailbox bob@dest.example",
    "mailbox gone@dest.example disabled",
    "alias info@dest.example ann@dest.example eve@other.example",
    "alias team@dest.example info@dest.example bob@dest.example",
    "alias *@dest.example ann@dest.example",
    "alias out@dest.example eve@other.example",
    "grant ann@dest.example @news.example boss@partner.example",
)


async def because(login: str, reverse_path: str, *more: str) -> str:
    """What allows it; "" when nothing does."""
    directory = Directory(MemoryDirectoryRecords(*DIRECTORY, *more), FrozenClock(), postmaster="ann@dest.example")
    answer = await Senders(directory).may_send(MaySendQuestion(login, reverse_path))
    assert answer.allowed is (answer.because != "")
    return answer.because


@pytest.mark.parametrize(
    ("reverse_path", "allowed_by"),
    [
        pytest.param("ann@dest.example", "mailbox", id="the own address"),
        pytest.param("Ann@DEST.example", "mailbox", id="the own address in other case"),
        pytest.param("ann+list@dest.example", "mailbox", id="the own address with a detail"),
        pytest.param("info@dest.example", "alias", id="an alias that leads to the mailbox"),
        pytest.param("info+x@dest.example", "alias", id="such an alias with a detail"),
        pytest.param("team@dest.example", "alias", id="an alias that leads there by another"),
        pytest.param("anyone@news.example", "grant", id="any address of a granted domain"),
        pytest.param("boss@partner.example", "grant", id="a granted address"),
        pytest.param("boss+x@partner.example", "grant", id="a granted address with a detail"),
        pytest.param("bob@dest.example", "", id="another mailbox"),
        pytest.param("out@dest.example", "", id="an alias that leads elsewhere"),
        pytest.param("who@dest.example", "", id="an address that only the catch-all takes"),
        pytest.param("postmaster@dest.example", "", id="a reserved name that nobody has defined"),
        pytest.param("anyone@sub.news.example", "", id="below a granted domain"),
        pytest.param("other@partner.example", "", id="beside a granted address"),
        pytest.param("eve@other.example", "", id="a foreign address that an alias leads to"),
        pytest.param("no address", "", id="no address at all"),
    ],
)
async def test_a_login_may_send_as(reverse_path: str, allowed_by: str) -> None:
    assert await because("ann@dest.example", reverse_path) == allowed_by


@pytest.mark.parametrize(
    ("more", "reverse_path"),
    [
        pytest.param("mailbox ann+x@dest.example", "ann+x@dest.example", id="a mailbox"),
        pytest.param("mailbox ann+x@dest.example", "Ann+X@dest.example", id="a mailbox, in other case"),
        pytest.param("mailbox ann+x@dest.example disabled", "ann+x@dest.example", id="a disabled mailbox"),
        pytest.param("alias ann+x@dest.example bob@dest.example", "ann+x@dest.example", id="an alias"),
        pytest.param(
            "mailbox info+x@dest.example", "info+x@dest.example", id="a mailbox beside an alias of the login's"
        ),
        pytest.param("mailbox out+x@dest.example", "out+x@dest.example", id="a mailbox beside a granted address"),
    ],
)
async def test_what_has_the_whole_name_is_no_detail_of_another(more: str, reverse_path: str) -> None:
    """Mail for it is not delivered to the login, so the login may not write in its name."""
    granted = "grant ann@dest.example out@dest.example"
    assert await because("ann@dest.example", reverse_path, granted) != ""
    assert await because("ann@dest.example", reverse_path, granted, more) == ""


@pytest.mark.parametrize(
    ("login", "more", "allowed_by"),
    [
        pytest.param("ann+x@dest.example", ["mailbox ann+x@dest.example"], "mailbox", id="its mailbox"),
        pytest.param(
            "bob@dest.example", ["alias ann+x@dest.example bob@dest.example"], "alias", id="whom the alias leads to"
        ),
        pytest.param(
            "bob@dest.example",
            ["mailbox ann+x@dest.example", "grant bob@dest.example ann+x@dest.example"],
            "grant",
            id="whom just that address is granted",
        ),
        pytest.param(
            "bob@dest.example",
            ["mailbox ann+x@dest.example", "grant bob@dest.example @dest.example"],
            "grant",
            id="whom all of the domain is granted",
        ),
    ],
)
async def test_what_has_the_whole_name_is_used_by(login: str, more: list[str], allowed_by: str) -> None:
    assert await because(login, "ann+x@dest.example", *more) == allowed_by


async def test_the_own_address_with_a_detail_costs_one_reading_the_first_time() -> None:
    records = MemoryDirectoryRecords(*DIRECTORY)
    senders = Senders(Directory(records, FrozenClock()))
    for _ in range(2):
        assert (await senders.may_send(MaySendQuestion("ann@dest.example", "ann+x@dest.example"))).allowed
    assert records.loads == 2  # the login's mailbox, and what ann+x is


@pytest.mark.parametrize("login", ["gone@dest.example", "nobody@dest.example", "ann"])
async def test_a_disabled_or_unknown_login_may_send_as_nobody(login: str) -> None:
    """A session may outlive its mailbox."""
    assert await because(login, login) == ""


async def test_a_mailbox_in_the_way_of_an_alias_keeps_the_name_to_itself() -> None:
    """The mailbox gets the mail, so the alias leads nowhere."""
    assert await because("ann@dest.example", "bob@dest.example", "alias bob@dest.example ann@dest.example") == ""


async def test_without_a_database_nothing_is_allowed_and_nothing_is_denied() -> None:
    records = MemoryDirectoryRecords(*DIRECTORY)
    records.is_away = True
    with pytest.raises(TransientFailure):
        await Senders(Directory(records, FrozenClock())).may_send(MaySendQuestion("ann@dest.example", "a@dest.example"))
