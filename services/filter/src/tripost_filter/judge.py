"""Answers the three questions of edge: judge a connection, recipients, a message."""

import asyncio
import logging
import math
from collections.abc import Sequence
from typing import Any

import msgspec
import structlog

from tripost_filter.authentication_results import authentication_results
from tripost_filter.check import Stage
from tripost_filter.content_reader import ContentReader, Reading
from tripost_filter.deadlines import LOOK_UPS_WITHIN_SECONDS, seconds_for
from tripost_filter.mail import Mail
from tripost_filter.metrics import Degradation, count_verdict
from tripost_filter.pipeline import Pipeline
from tripost_filter.registry import Surroundings, build_checks
from tripost_filter.scoring import decide
from tripost_filter.tagging import spam_fields
from tripost_shared.config.port import Watched
from tripost_shared.content.port import ContentMissing, ContentUnavailable
from tripost_shared.contracts.config import FilterConfig
from tripost_shared.contracts.filter import (
    CONNECTION,
    MESSAGE,
    RECIPIENTS,
    Action,
    ConnectionQuestion,
    Finding,
    MessageQuestion,
    RecipientsAnswer,
    RecipientsQuestion,
    Verdict,
)
from tripost_shared.contracts.subject import Subject
from tripost_shared.mail.failures import TransientFailure

log = structlog.get_logger()


class Judge:
    """Runs the checks of each question's stages under the configuration in force."""

    def __init__(self, config: Watched[FilterConfig], around: Surroundings, reader: ContentReader) -> None:
        self._around = around
        self._reader = reader
        self._degradation = Degradation()
        self._take(config.current)
        config.on_change(self._take)

    def _take(self, config: FilterConfig) -> None:
        checks = build_checks(config, self._around)
        self._config, self._pipeline = config, Pipeline(checks, self._degradation, self._around.clock)

    @property
    def revision(self) -> int:
        """The configuration's revision."""
        return self._config.revision

    def details(self) -> dict[str, str]:
        """Give what is worth seeing of this instance: the mode, and the checks that could not do their work."""
        return {"mode": self._config.mode.value, **self._degradation.details()}

    async def connection(self, question: ConnectionQuestion) -> Verdict:
        """Judge a client by its address."""
        config = self._config
        mail = Mail(
            question.client,
            message_id=question.session_id,
            look_up_until=self._look_up_until(),
            examine_until=self._examine_until(CONNECTION),
        )
        return self._on_client(await self._pipeline.run(Stage.CONNECTION, mail), mail, config)

    async def recipients(self, question: RecipientsQuestion) -> RecipientsAnswer:
        """Judge the sender, unless that is done, and then each recipient; its findings are in each recipient's verdict.

        Where edge asks for the client too, it is judged beside the sender; one that is refused is not greylisted.
        """
        config, pipeline = self._config, self._pipeline
        look_up_until, examine_until = self._look_up_until(), self._examine_until(RECIPIENTS)

        def mail_to(recipient: str) -> Mail:
            return Mail(
                question.client,
                message_id=question.message_id,
                reverse_path=question.reverse_path,
                recipient=recipient,
                look_up_until=look_up_until,
                examine_until=examine_until,
            )

        client: Verdict | None = None
        if question.and_client:
            mail = mail_to("")
            if question.sender:
                findings, sender = await pipeline.run(Stage.CONNECTION, mail), question.sender
            else:
                findings, sender = await pipeline.run_both(Stage.CONNECTION, Stage.SENDER, mail)
            client = self._on_client(findings, mail, config)
            if client.action.refuses and not question.client.is_trusted:
                return RecipientsAnswer((), client)
        else:
            sender = question.sender or await pipeline.run(Stage.SENDER, mail_to(""))
        verdict = decide(sender, config)
        if verdict.action.refuses:
            return RecipientsAnswer((_counted("recipient", verdict),) * len(question.recipients), client)

        async def judge(recipient: str) -> Verdict:
            findings = await pipeline.run(Stage.RECIPIENT, mail_to(recipient))
            return _counted("recipient", decide((*sender, *findings), config))

        if len(question.recipients) == 1:
            return RecipientsAnswer((await judge(question.recipients[0]),), client)
        return RecipientsAnswer(tuple(await asyncio.gather(*map(judge, question.recipients))), client)

    async def message(self, question: MessageQuestion) -> Verdict:
        """Judge the content; raises TransientFailure when it cannot be read, so that the client keeps the message."""
        until = self._examine_until(MESSAGE)
        if question.content.inline is not None:
            return await self._judge_content(question, until, question.content.inline)
        try:
            async with self._reader.reading(question.content) as reading:
                return await self._judge_content(question, until, reading.beginning, reading)
        except (ContentMissing, ContentUnavailable, TimeoutError) as error:
            because = str(error) or "its turn, or its beginning, did not come in time"
            raise TransientFailure(because=f"content of {question.message_id}: {because}") from error

    async def _judge_content(
        self, question: MessageQuestion, until: float, octets: bytes, stored: Reading | None = None
    ) -> Verdict:
        config, pipeline = self._config, self._pipeline
        mail = Mail(
            question.client,
            message_id=question.message_id,
            reverse_path=question.envelope.reverse_path,
            envelope=question.envelope,
            octets=octets,
            stored=stored,
            is_complete=stored is None or stored.is_complete,
            findings=question.findings,
            look_up_until=self._look_up_until(),
            examine_until=until,
        )
        findings = await pipeline.run(Stage.MESSAGE, mail)
        mail.findings = (*question.findings, *findings)
        findings += await pipeline.run(Stage.CONCLUSION, mail)
        verdict = decide(findings, config, earlier=question.findings, is_final=True)
        if not verdict.action.refuses:
            verdict = self._with_fields(verdict, question, config)
        level = logging.DEBUG if verdict.action is Action.ACCEPT else logging.INFO
        if log.is_enabled_for(level):
            log.log(
                level,
                "message judged",
                message_id=question.message_id,
                action=verdict.action,
                rule=verdict.rule,
                score=verdict.score,
                findings=" ".join(f"{finding.check}={finding.result}" for finding in mail.findings),
            )
        return _counted("message", verdict)

    def _with_fields(self, verdict: Verdict, question: MessageQuestion, config: FilterConfig) -> Verdict:
        every = (*question.findings, *verdict.findings)
        fields = authentication_results(self._around.hostname, question.client, question.envelope.reverse_path, every)
        if verdict.action is Action.TAG or not question.client.is_trusted:
            fields += spam_fields(verdict.action, verdict.score, config.tag_score, every)
        return msgspec.structs.replace(verdict, header_fields=fields)

    def _on_client(self, findings: Sequence[Finding], mail: Mail, config: FilterConfig) -> Verdict:
        """Judge a client; for how long that counts is what the DNS answers say."""
        verdict = _counted("connection", decide(findings, config))
        if mail.client_good_until == math.inf:
            return verdict
        seconds = max(0.0, mail.client_good_until - self._around.clock.monotonic())
        return msgspec.structs.replace(verdict, good_for_seconds=round(seconds, 3))

    def _look_up_until(self) -> float:
        return self._around.clock.monotonic() + LOOK_UPS_WITHIN_SECONDS

    def _examine_until(self, subject: Subject[Any, Any]) -> float:
        return self._around.clock.monotonic() + seconds_for(subject)


def _counted(question: str, verdict: Verdict) -> Verdict:
    count_verdict(question, verdict.action)
    return verdict
