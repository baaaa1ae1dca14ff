"""Exchanges of mechanisms that edge does not know: it carries octets between the client and domains."""

from base64 import b64encode
from dataclasses import dataclass, field

from tripost_edge.session import replies
from tripost_edge.session.session import Session
from tripost_shared.contracts.sasl import MOST_STEPS, SASL, SaslAnswer, SaslQuestion, sasl_of
from tripost_shared.contracts.subject import Subject
from tripost_shared.mail.failures import PermanentFailure, TransientFailure
from tripost_shared.mail.reply import SmtpReply


@dataclass(slots=True)
class RelayedExchange:
    """One run of a mechanism: all octets so far, and the instance of domains that has to go on, if one has."""

    session: Session
    mechanism: str
    directory_revision: int
    octets: list[bytes] = field(default_factory=list, repr=False)
    instance: str = ""

    def begin(self, initial: bytes | None) -> None:
        """Take the initial response, if there is one: it stands for the answer to an empty challenge."""
        if initial is not None:
            self.octets += [b"", initial]

    def challenge(self, answer: SaslAnswer) -> SmtpReply:
        """Give what the client is to answer next. Raises PermanentFailure where there is no end to it."""
        if len(self.octets) >= 2 * MOST_STEPS:
            raise PermanentFailure(replies.AUTH_BAD_RESPONSE, because="too many steps")
        self.octets.append(answer.challenge)
        self.instance = answer.instance
        return SmtpReply(334, "", b64encode(answer.challenge).decode("ascii"))

    @property
    def question(self) -> SaslQuestion:
        """What domains is asked next."""
        client = self.session.client
        return SaslQuestion(
            self.session.id,
            client.address,
            self.mechanism,
            tuple(self.octets),
            client.listener,
            client.kind,
            self.directory_revision,
        )

    @property
    def subject(self) -> Subject[SaslQuestion, SaslAnswer]:
        """Whom: any replica, or the one that has begun. Raises TransientFailure."""
        if not self.instance:
            return SASL
        try:
            return sasl_of(self.instance)
        except ValueError as error:
            raise TransientFailure(replies.AUTH_TRY_LATER, because=f"domains named {error}") from error
