"""Answers to what edge asks about SASL (`tripost_shared.contracts.sasl`)."""

from collections.abc import Mapping
from typing import Final

from tripost_domains.directory.logins import Logins
from tripost_domains.sasl.answerer import Answerer, refused
from tripost_domains.sasl.malformed import Malformed
from tripost_shared.contracts.sasl import (
    MOST_STEPS,
    Mechanism,
    MechanismsAnswer,
    SaslAnswer,
    SaslOutcome,
    SaslQuestion,
)

BY_PASSWORD: Final = frozenset({Mechanism.PLAIN, Mechanism.LOGIN})  # whose question is AUTHENTICATE


class SaslQuestions:
    """Hands each step to its mechanism; what is not in `answerers` does not work here."""

    def __init__(self, logins: Logins, answerers: Mapping[Mechanism, Answerer], instance: str = "") -> None:
        """`instance`: the name by which exchanges that have begun here come back; "" when none does."""
        self._logins = logins
        self._answerers = answerers
        self.instance = instance

    async def answer(self, question: SaslQuestion) -> SaslAnswer:
        """Say what comes next in an exchange; raises TransientFailure."""
        answerer = self._answerers.get(Mechanism(question.mechanism)) if question.mechanism in set(Mechanism) else None
        if answerer is None:
            because = f"{question.mechanism} does not work here"
            self._logins.log_refusal(question, because)
            return refused(because)
        try:
            if len(question.exchange) % 2 or len(question.exchange) > 2 * MOST_STEPS:
                raise Malformed("not challenges and responses by turns, or too many")
            answer = await answerer.answer(question)
        except Malformed as error:
            return SaslAnswer(SaslOutcome.MALFORMED, because=str(error))
        if answer.outcome is SaslOutcome.ACCEPTED:
            self._logins.accepted(answer.login, answer.credential)
        return answer

    async def mechanisms(self) -> MechanismsAnswer:
        """Name what works here and some domain allows; raises TransientFailure."""
        allowed = await self._logins.allowed_mechanisms()
        works = BY_PASSWORD | self._answerers.keys()
        return MechanismsAnswer(tuple(one.value for one in Mechanism if one in works and one in allowed))
