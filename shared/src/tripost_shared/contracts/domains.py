"""What edge asks domains: where a recipient leads, who a login is, and what it may send as."""

from datetime import timedelta
from enum import StrEnum
from typing import Final

import msgspec

from tripost_shared.contracts.subject import Subject
from tripost_shared.mail.client import ListenerKind


class RecipientKind(StrEnum):
    """What a recipient's address is to us."""

    LOCAL = "local"  # a mailbox, alias or catch-all of ours
    RELAY = "relay"  # a domain that we relay for, whoever the client is
    FOREIGN = "foreign"  # not ours: for trusted clients only
    UNKNOWN = "unknown"  # a domain of ours without such a recipient
    DISABLED = "disabled"  # known, but takes no mail now


class ResolveQuestion(msgspec.Struct, frozen=True):
    """Which of these recipients (as given at RCPT, canonical text) may mail be taken for?

    `directory_revision` is that of the newest change of the directory that the asker knows of (0: of none). The answer
    is from after that change, whether domains has heard of it or not; but for a remembered yes while the database is
    away (ADR 7), which no right to send is.
    """

    recipients: tuple[str, ...]
    directory_revision: int = 0


class ResolveAnswer(msgspec.Struct, frozen=True):
    """One kind per recipient, in the order of the question."""

    kinds: tuple[RecipientKind, ...]


class AuthenticateQuestion(msgspec.Struct, frozen=True):
    """Is this the password of this login? `mechanism` is the SASL name the client used ("PLAIN", "LOGIN").

    `kind` is the listener's, which an application password may be limited to. `directory_revision` as in
    ResolveQuestion: what is remembered from before a change counts no more.
    """

    session_id: str
    client_address: str
    mechanism: str
    username: str
    password: str
    listener: str = ""
    kind: ListenerKind = ListenerKind.SUBMISSION
    directory_revision: int = 0

    def __repr__(self) -> str:
        return f"AuthenticateQuestion(session_id={self.session_id!r}, username={self.username!r}, password=…)"


class AuthenticateAnswer(msgspec.Struct, frozen=True):
    """`login` is the canonical mailbox address when accepted, else "".

    `credential` names the password that was right, so that it can be asked later whether it still is ("": not known).
    `because` says why it was refused, for the trace alone: to the client unknown and wrong look the same.
    """

    accepted: bool
    login: str = ""
    credential: str = ""
    because: str = ""


class MaySendQuestion(msgspec.Struct, frozen=True):
    """May this login use this reverse-path (canonical text)?

    With a `credential` it is asked too whether the login would be accepted now; the null reverse-path, "", is asked
    about for that alone. `directory_revision` as in ResolveQuestion.
    """

    login: str
    reverse_path: str
    credential: str = ""
    directory_revision: int = 0


class MaySendAnswer(msgspec.Struct, frozen=True):
    """`because` names what allows it: "mailbox", "alias", "grant"; or "" when it may not.

    `login_stands` is false when the mailbox is disabled or gone, or has another password than the one logged in with.
    """

    allowed: bool
    because: str = ""
    login_stands: bool = True


DOMAINS_QUEUE: Final = "domains"

RESOLVE: Final = Subject(
    "domains.v1.resolve", ResolveQuestion, ResolveAnswer, DOMAINS_QUEUE, timedelta(seconds=5), timedelta(seconds=2)
)
AUTHENTICATE: Final = Subject(
    "domains.v1.authenticate",
    AuthenticateQuestion,
    AuthenticateAnswer,
    DOMAINS_QUEUE,
    timedelta(seconds=10),
    timedelta(seconds=4),
)
MAY_SEND: Final = Subject(
    "domains.v1.may_send", MaySendQuestion, MaySendAnswer, DOMAINS_QUEUE, timedelta(seconds=5), timedelta(seconds=2)
)
