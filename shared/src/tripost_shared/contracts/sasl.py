"""SASL (RFC 4422) between edge and domains: edge carries octets, domains answers for what they mean.

PLAIN and LOGIN give a password at once, and have a question of their own (`contracts.domains.AUTHENTICATE`).
"""

import re
from datetime import timedelta
from enum import StrEnum
from typing import Final

import msgspec

from tripost_shared.contracts.domains import DOMAINS_QUEUE
from tripost_shared.contracts.subject import Subject
from tripost_shared.mail.client import ListenerKind


class Mechanism(StrEnum):
    """A mechanism's name as clients say it; in the order in which EHLO offers them."""

    SCRAM_SHA_256 = "SCRAM-SHA-256"  # RFC 7677
    SCRAM_SHA_1 = "SCRAM-SHA-1"  # RFC 5802
    GSSAPI = "GSSAPI"  # Kerberos, RFC 4752
    CRAM_MD5 = "CRAM-MD5"  # RFC 2195
    PLAIN = "PLAIN"  # RFC 4616
    LOGIN = "LOGIN"  # draft-murchison-sasl-login


DEFAULT_MECHANISMS: Final = (Mechanism.PLAIN, Mechanism.LOGIN)  # where nobody has chosen others
WITH_OWN_SECRET: Final = (Mechanism.SCRAM_SHA_256, Mechanism.SCRAM_SHA_1, Mechanism.CRAM_MD5)
MOST_STEPS: Final = 10  # challenges of one exchange; SCRAM has three, Kerberos four


class SaslOutcome(StrEnum):
    """What comes next."""

    CHALLENGE = "challenge"
    ACCEPTED = "accepted"
    REFUSED = "refused"  # unknown and wrong look the same to the client
    MALFORMED = "malformed"  # not what the mechanism has here


class SaslQuestion(msgspec.Struct, frozen=True):
    """What is next in this exchange?

    `exchange`: all octets so far, challenges and responses by turns, a challenge first: before an initial response
    stands the empty one that it spares (RFC 4422 §5). So every replica can answer every step, but for mechanisms whose
    state is in one process: there the answer's `instance` says who goes on.
    """

    session_id: str
    client_address: str
    mechanism: str
    exchange: tuple[bytes, ...] = ()
    listener: str = ""
    kind: ListenerKind = ListenerKind.SUBMISSION
    directory_revision: int = 0

    def __repr__(self) -> str:
        return f"SaslQuestion(session_id={self.session_id!r}, mechanism={self.mechanism!r}, exchange=…)"


class SaslAnswer(msgspec.Struct, frozen=True):
    """`login` and `credential` as in AuthenticateAnswer, when accepted.

    `username`: who the client says that it is, once it has; `because`: why it is refused. Both for the trace alone.
    """

    outcome: SaslOutcome
    challenge: bytes = b""
    login: str = ""
    credential: str = ""
    username: str = ""
    because: str = ""
    instance: str = ""


class MechanismsQuestion(msgspec.Struct, frozen=True):
    """Which mechanisms may a client use at all? `directory_revision` as in ResolveQuestion."""

    directory_revision: int = 0


class MechanismsAnswer(msgspec.Struct, frozen=True):
    """Those that work here and that some domain allows, in the order of Mechanism."""

    mechanisms: tuple[str, ...]


SASL: Final = Subject(
    "domains.v1.sasl", SaslQuestion, SaslAnswer, DOMAINS_QUEUE, timedelta(seconds=10), timedelta(seconds=4)
)
MECHANISMS: Final = Subject(
    "domains.v1.mechanisms",
    MechanismsQuestion,
    MechanismsAnswer,
    DOMAINS_QUEUE,
    timedelta(seconds=2),
    timedelta(seconds=1),
)

_INSTANCE: Final = re.compile(r"[a-z0-9]{1,40}")


def sasl_of(instance: str) -> Subject[SaslQuestion, SaslAnswer]:
    """Give the subject on which one instance goes on with what it has begun; raises ValueError for no such name.

    A question goes out once: a second one would be taken for the next step.
    """
    if not _INSTANCE.fullmatch(instance):
        raise ValueError("no instance's name")
    return Subject(f"{SASL.name}.{instance}", SaslQuestion, SaslAnswer, DOMAINS_QUEUE, SASL.deadline, SASL.deadline)
