"""Names in a Maildir."""

from datetime import UTC, datetime
from pathlib import PurePath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tripost_domains.delivery.mailbox.names import UnsafeName, file_name, mailbox_folder, stem

RECEIVED_AT = datetime(2026, 1, 1, tzinfo=UTC)
MESSAGE_ID = "1k3v9q2m8f0abcde.1"


@pytest.mark.parametrize(
    ("local_part", "folder"),
    [
        pytest.param("ann", "ann", id="plain"),
        pytest.param("ann+lists", "ann+lists", id="plus"),
        pytest.param("a/b", "a%2Fb", id="slash"),
        pytest.param("..", "%2E.", id="parent"),
        pytest.param(".", "%2E", id="itself"),
        pytest.param(".hidden", "%2Ehidden", id="hidden"),
        pytest.param("a\0b", "a%00b", id="NUL"),
        pytest.param("a\nb", "a%0Ab", id="line end"),
        pytest.param("50%2F", "50%252F", id="what looks encoded"),
        pytest.param("grüße", "grüße", id="UTF-8"),
    ],
)
def test_a_local_part_names_one_folder(local_part: str, folder: str) -> None:
    assert mailbox_folder("dest.example", local_part) == PurePath("dest.example", folder)


@pytest.mark.parametrize(
    ("domain", "local_part"),
    [
        pytest.param("dest.example", "", id="empty local part"),
        pytest.param("dest.example", "x" * 256, id="too long"),
        pytest.param("dest.example", "\x01" * 90, id="too long once encoded"),
        pytest.param("dest.example", "\ud800", id="half a character"),
        pytest.param("..", "ann", id="parent as domain"),
        pytest.param("a/b.example", "ann", id="slash in domain"),
        pytest.param("", "ann", id="no domain"),
        pytest.param("[192.0.2.1]", "ann", id="address literal"),
    ],
)
def test_what_cannot_name_a_folder_is_refused(domain: str, local_part: str) -> None:
    with pytest.raises(UnsafeName):
        mailbox_folder(domain, local_part)


@given(st.text(max_size=64), st.text(max_size=64))
def test_two_mailboxes_never_share_a_folder_and_none_leaves_its_domain(one: str, other: str) -> None:
    folders = []
    for local_part in {one, other}:
        try:
            folders.append(mailbox_folder("dest.example", local_part))
        except UnsafeName:
            continue
    assert len(set(folders)) == len(folders)
    for folder in folders:
        assert len(folder.parts) == 2
        assert folder.name not in {"", ".", ".."}
        assert "\0" not in str(folder)


def test_the_file_name_begins_with_the_stem_whatever_the_host() -> None:
    names = [file_name(RECEIVED_AT, MESSAGE_ID, host, 4096) for host in ("mx1.example", "mx2.example")]
    assert all(name.startswith(stem(RECEIVED_AT, MESSAGE_ID)) for name in names)
    assert names[0] == "1767225600.1k3v9q2m8f0abcde.1.mx1.example,S=4096"


def test_a_message_is_no_beginning_of_another_ones_name() -> None:
    assert not stem(RECEIVED_AT, MESSAGE_ID + "0").startswith(stem(RECEIVED_AT, MESSAGE_ID))


def test_the_host_cannot_leave_the_folder() -> None:
    assert "/" not in file_name(RECEIVED_AT, MESSAGE_ID, "../../etc:x", 1)
