"""The three questions of edge, by all checks of the registry together."""

import dataclasses
import math
from datetime import timedelta

import pytest
import structlog

from tripost_filter import registry
from tripost_filter.check import Stage
from tripost_filter.checks.patterns import EICAR
from tripost_filter.deadlines import seconds_for
from tripost_filter.mail import Mail
from tripost_filter.scoring import REFUSED_BY_SCORE
from tripost_shared.clock import FrozenClock
from tripost_shared.contracts.config import CheckPolicy, DnsblZone, FilterConfig, GreylistPolicy, OnError, PolicyMode
from tripost_shared.contracts.filter import CONNECTION, MESSAGE, RECIPIENTS, Action, Finding
from tripost_shared.dns.port import DnsAnswer
from tripost_shared.mail.client import Client
from tripost_shared.mail.content import Content
from tripost_shared.mail.envelope import Envelope, Recipient
from tripost_shared.mail.failures import TransientFailure
from unit.filter.court import CONFIG, RECORDS, Court, results
from unit.filter.mails import LETTER, LOGGED_IN, CachedTable, SilentResolver
from unit.filter.signing import signed


@pytest.fixture
def court() -> Court:
    return Court()


async def test_a_listed_client_is_refused(court: Court) -> None:
    verdict = await court.connection(Client("192.0.2.66"))
    assert (verdict.action, verdict.rule, verdict.revision) == (Action.REJECT, "dnsbl", 3)
    assert verdict.reply is not None
    assert (verdict.reply.code, verdict.reply.enhanced) == (554, "5.7.1")


async def test_a_client_on_no_list_is_accepted(court: Court) -> None:
    verdict = await court.connection()
    assert (verdict.action, results(verdict)) == (Action.ACCEPT, {"dnsbl": "none", "reverse_dns": "pass"})


class DatedTable(CachedTable):
    """A table whose answers are good up to a time, by their type; with time for more look-ups it remembers nothing."""

    def __init__(self, good_until: dict[str, float], *, in_cache: bool) -> None:
        super().__init__(*RECORDS)
        self._good_until = good_until
        self._in_cache = in_cache

    async def resolve(self, name: str, record_type: str, within: timedelta | None = None) -> DnsAnswer:
        """Look a name up in the table."""
        answer = await super().resolve(name, record_type, within)
        return dataclasses.replace(answer, good_until=self._good_until[record_type])

    def cached(self, name: str, record_type: str) -> DnsAnswer | None:
        """Give the table's answer, if it is to be in the cache."""
        return super().cached(name, record_type) if self._in_cache else None


@pytest.mark.parametrize("in_cache", [True, False])
@pytest.mark.parametrize(
    ("a", "ptr", "txt", "seconds"),
    [
        pytest.param(30, 20, 5, 20, id="the shortest of reverse DNS and block lists"),
        pytest.param(-1, 60, 60, 0, id="one for its asker alone"),
        pytest.param(math.inf, math.inf, 5, None, id="the sender's record says nothing of the client"),
    ],
)
async def test_a_verdict_on_a_client_is_good_for_as_long_as_its_dns_answers(
    a: float, ptr: float, txt: float, seconds: float | None, in_cache: bool
) -> None:
    now = FrozenClock().monotonic()
    court = Court(resolver=DatedTable({"A": now + a, "PTR": now + ptr, "TXT": now + txt}, in_cache=in_cache))
    assert (await court.connection()).good_for_seconds == seconds
    answer = await court.client_and_recipient()
    assert answer.client is not None
    assert answer.client.good_for_seconds == seconds


async def test_each_recipient_has_a_verdict_in_the_order_asked(court: Court) -> None:
    await court.recipients("bob@dest.example")
    court.clock.advance(timedelta(minutes=5))
    verdicts = await court.recipients("carol@dest.example", "bob@dest.example")
    assert [verdict.action for verdict in verdicts] == [Action.DEFER, Action.ACCEPT]
    assert [results(verdict) for verdict in verdicts] == [
        {"spf": "pass", "greylist": "new"},
        {"spf": "pass", "greylist": "passed"},
    ]


async def test_a_forged_sender_is_refused_for_all_recipients_and_greylists_none(court: Court) -> None:
    verdicts = await court.recipients("bob@dest.example", "carol@dest.example", reverse_path="eve@forged.example")
    assert [(verdict.action, verdict.rule) for verdict in verdicts] == [(Action.REJECT, "spf")] * 2
    assert await court.bucket.keys() == []


async def test_one_question_may_be_about_the_client_too(court: Court) -> None:
    await court.recipients("bob@dest.example")
    court.clock.advance(timedelta(minutes=5))
    answer = await court.client_and_recipient()
    assert answer.client is not None
    assert (answer.client.action, results(answer.client)) == (Action.ACCEPT, {"dnsbl": "none", "reverse_dns": "pass"})
    assert [results(verdict) for verdict in answer.verdicts] == [{"spf": "pass", "greylist": "passed"}]


async def test_a_sender_that_was_judged_before_is_not_judged_again(court: Court) -> None:
    """What was found then counts as if it had been found now."""
    before = Finding("spf", "neutral", 0.5, stage="sender")
    (verdict,) = await court.recipients("bob@dest.example", reverse_path="eve@forged.example", sender=(before,))
    assert verdict.findings[0] == before
    assert (results(verdict), verdict.score) == ({"spf": "neutral", "greylist": "new"}, 0.5)
    answer = await court.client_and_recipient(reverse_path="eve@forged.example", sender=(before,))
    assert answer.client is not None
    assert results(answer.client) == {"dnsbl": "none", "reverse_dns": "pass"}
    assert answer.verdicts[0].findings[0] == before


async def test_each_finding_names_its_stage(court: Court) -> None:
    verdict = await court.connection()
    assert [(finding.check, finding.stage) for finding in verdict.findings] == [
        ("dnsbl", "connection"),
        ("reverse_dns", "connection"),
    ]
    (verdict,) = await court.recipients()
    assert [(finding.check, finding.stage) for finding in verdict.findings] == [
        ("spf", "sender"),
        ("greylist", "recipient"),
    ]


async def test_a_client_that_one_question_refuses_greylists_nothing(court: Court) -> None:
    answer = await court.client_and_recipient(Client("192.0.2.66"))
    assert answer.client is not None
    assert (answer.client.action, answer.client.rule, answer.verdicts) == (Action.REJECT, "dnsbl", ())
    assert await court.bucket.keys() == []


async def test_a_forged_sender_is_refused_beside_its_client(court: Court) -> None:
    answer = await court.client_and_recipient(reverse_path="eve@forged.example")
    assert answer.client is not None
    assert answer.client.action is Action.ACCEPT
    assert [verdict.rule for verdict in answer.verdicts] == ["spf"]


async def test_a_logged_in_client_is_not_asked_for_spf_or_patience(court: Court) -> None:
    (verdict,) = await court.recipients(client=LOGGED_IN)
    assert (verdict.action, verdict.findings) == (Action.ACCEPT, ())


async def test_an_accepted_message_gets_its_fields(court: Court) -> None:
    verdict = await court.message(signed(LETTER))
    assert verdict.action is Action.ACCEPT
    assert results(verdict) == {"patterns": "none", "dkim": "pass", "headers": "pass"}
    fields = verdict.header_fields.replace(b"\r\n\t", b" ").split(b"\r\n")
    assert fields[0].startswith(
        b"Authentication-Results: mx.dest.example; spf=pass smtp.mailfrom=ann@sender.example; dkim=pass header.d=send"
    )
    assert fields[1:] == [b"X-Spam-Status: No, score=0.0 required=6.0 tests=none", b""]


async def test_mail_of_our_own_says_who_sent_it_and_no_score(court: Court) -> None:
    verdict = await court.message(client=LOGGED_IN, findings=())
    assert b"auth=pass" in verdict.header_fields
    assert b"X-Spam" not in verdict.header_fields


async def test_a_virus_is_refused_whoever_sends_it(court: Court) -> None:
    verdict = await court.message(LETTER + EICAR, client=LOGGED_IN)
    assert (verdict.action, verdict.rule, verdict.header_fields) == (Action.REJECT, "patterns", b"")


async def test_stored_content_is_read(court: Court) -> None:
    content = court.store.put("big", signed(LETTER + b"x" * 900_000))
    assert results(await court.message(content))["dkim"] == "pass"


async def test_of_very_large_content_the_beginning_is_examined(court: Court) -> None:
    content = court.store.put("big", signed(LETTER + b"x" * 2_000_000))
    assert results(await court.message(content)) == {"patterns": "none", "dkim": "neutral", "headers": "pass"}


async def test_content_that_cannot_be_read_is_no_verdict(court: Court) -> None:
    with pytest.raises(TransientFailure, match="gone"):
        await court.message(Content(5, stored="gone"))
    court.store.is_unavailable = True
    with pytest.raises(TransientFailure, match=r"1\.1"):
        await court.message(Content(5, stored="gone"))


async def test_content_that_does_not_come_in_time_is_no_verdict() -> None:
    court = Court(content_within=timedelta(milliseconds=20))
    court.store.is_silent = True
    with pytest.raises(TransientFailure, match="in time"):
        await court.message(Content(5, stored="slow"))


async def test_content_that_is_lost_while_it_is_examined_is_no_verdict(court: Court) -> None:
    """Whatever the checks made of it: the client keeps the message."""
    content = court.store.put("big", LETTER + b"x" * 900_000)
    court.store.readings_until_lost = 1
    with structlog.testing.capture_logs() as logs, pytest.raises(TransientFailure):
        await court.message(content)
    assert "check failed" not in [entry["event"] for entry in logs], "no check is to blame"


async def test_a_large_message_is_judged_as_a_small_one(court: Court) -> None:
    letter = LETTER + b"x" * 70 + b"\r\n"
    text = signed(signed(letter, c="simple/simple", l=len(b"Hi Bob\r\n")), c="relaxed/relaxed")
    large = signed(signed(letter * 3000, c="simple/simple"), c="relaxed/relaxed")
    court.store.chunk_octets = 5000
    for octets in (text, large, text + EICAR, large + EICAR):
        inline, stored = await court.message(octets), await court.message(court.store.put("big", octets))
        assert [(finding.result, finding.evidence) for finding in inline.findings] == [
            (finding.result, finding.evidence) for finding in stored.findings
        ]
        assert (inline.action, inline.header_fields) == (stored.action, stored.header_fields)


async def test_in_monitor_mode_nothing_is_refused_or_greylisted_and_all_is_tagged() -> None:
    court = Court(FilterConfig(mode=PolicyMode.MONITOR, dnsbl_zones=CONFIG.dnsbl_zones))
    connection = await court.connection(Client("192.0.2.66"))
    (recipient,) = await court.recipients(reverse_path="eve@forged.example")
    message = await court.message(LETTER + EICAR, findings=(*connection.findings, *recipient.findings))
    assert [verdict.action for verdict in (connection, recipient, message)] == [
        Action.ACCEPT,
        Action.ACCEPT,
        Action.TAG,
    ]
    assert (connection.rule, recipient.rule, message.rule) == ("monitor:dnsbl", "monitor:spf", "monitor:patterns")
    assert b"X-Spam-Flag: YES\r\n" in message.header_fields
    assert b"spf=fail" in message.header_fields
    assert await court.bucket.keys() == []


async def test_a_change_of_the_configuration_is_in_force_at_once(court: Court) -> None:
    court.watched.replace(FilterConfig(revision=4, dnsbl_zones=(DnsblZone("other.example"),)))
    verdict = await court.connection(Client("192.0.2.66"))
    assert (verdict.action, verdict.revision, court.judge.revision) == (Action.ACCEPT, 4, 4)


async def test_a_check_can_be_switched_off(court: Court) -> None:
    court.watched.replace(FilterConfig(checks={"greylist": CheckPolicy(enabled=False)}))
    (verdict,) = await court.recipients()
    assert results(verdict) == {"spf": "pass"}


async def test_what_passed_the_greylist_is_remembered_over_a_change_of_configuration(court: Court) -> None:
    await court.recipients()
    court.clock.advance(timedelta(minutes=5))
    await court.recipients()
    court.watched.replace(FilterConfig(greylist=GreylistPolicy(delay_seconds=900)))
    court.bucket.is_unavailable = True
    assert [verdict.action for verdict in await court.recipients()] == [Action.ACCEPT]


@pytest.mark.parametrize(("on_error", "action"), [(OnError.ACCEPT, Action.ACCEPT), (OnError.TEMPFAIL, Action.DEFER)])
async def test_a_greylist_without_its_bucket_follows_its_failure_policy(on_error: OnError, action: Action) -> None:
    court = Court(FilterConfig(checks={"greylist": CheckPolicy(on_error=on_error)}))
    court.bucket.is_unavailable = True
    (verdict,) = await court.recipients()
    assert (verdict.action, results(verdict)["greylist"]) == (action, "unavailable")
    assert court.judge.details() == {"mode": "enforce", "degraded.greylist": "1 of 1"}


async def test_without_dns_there_are_findings_and_no_errors() -> None:
    court = Court(resolver=SilentResolver())
    connection = await court.connection()
    (recipient,) = await court.recipients(client=Client("127.0.0.1", helo="localhost"))
    message = await court.message(signed(LETTER), findings=recipient.findings)
    assert [verdict.action for verdict in (connection, recipient, message)] == [Action.ACCEPT] * 3
    assert results(connection) == {"dnsbl": "no data", "reverse_dns": "temperror"}
    assert results(recipient) == {"spf": "temperror"}
    assert results(message)["dkim"] == "temperror"


async def test_all_look_ups_of_a_stage_share_one_deadline() -> None:
    resolver = SilentResolver()
    await Court(resolver=resolver).connection()
    assert all(within is not None and within <= timedelta(seconds=2) for within in resolver.waited)
    assert resolver.waited


class Recording:
    """A check at every stage that notes what it is given."""

    name = "recording"
    stages = frozenset(Stage)

    def __init__(self) -> None:
        self.mails: list[Mail] = []
        self.finding: Finding | None = None

    async def examine(self, mail: Mail) -> Finding | None:
        self.mails.append(mail)
        return self.finding


@pytest.fixture
def recording(court: Court, monkeypatch: pytest.MonkeyPatch) -> Recording:
    check = Recording()
    checks = {**registry.CHECKS, check.name: registry.Registration(lambda *_: check, CheckPolicy())}
    monkeypatch.setattr(registry, "CHECKS", checks)
    court.watched.replace(FilterConfig())
    return check


@pytest.mark.parametrize(("relay_permitted", "verdicts"), [(False, 0), (True, 1)])
async def test_the_verdict_on_a_client_stops_strangers_only(
    court: Court, recording: Recording, relay_permitted: bool, verdicts: int
) -> None:
    recording.finding = Finding("recording", "bad", refuse_with=REFUSED_BY_SCORE)
    answer = await court.client_and_recipient(Client("192.0.2.7", relay_permitted=relay_permitted))
    assert answer.client is not None
    assert answer.client.action is Action.REJECT
    assert len(answer.verdicts) == verdicts


async def test_checks_of_the_conclusion_see_the_findings_of_the_message(court: Court, recording: Recording) -> None:
    await court.message()
    _, conclusion = recording.mails
    assert [finding.check for finding in conclusion.findings] == ["spf", "patterns", "dkim", "headers"]


async def test_checks_know_of_which_mail_it_is_and_to_whom(court: Court, recording: Recording) -> None:
    await court.connection()
    await court.recipients("bob@dest.example", "carol@dest.example")
    await court.message()
    ids = [mail.message_id for mail in recording.mails]
    assert ids == ["1", "1.1", "1.1", "1.1", "1.1", "1.1"]
    assert [mail.recipient for mail in recording.mails] == ["", "", "bob@dest.example", "carol@dest.example", "", ""]
    envelopes = [mail.envelope for mail in recording.mails]
    assert envelopes[:4] == [None] * 4
    assert envelopes[4] == envelopes[5] == Envelope("ann@sender.example", (Recipient("bob@dest.example"),))


async def test_all_checks_of_a_question_share_its_time(court: Court, recording: Recording) -> None:
    await court.connection()
    await court.recipients("bob@dest.example", "carol@dest.example")
    await court.message()
    left = [mail.examine_until - court.clock.monotonic() for mail in recording.mails]
    assert left == pytest.approx([seconds_for(CONNECTION), *[seconds_for(RECIPIENTS)] * 3, *[seconds_for(MESSAGE)] * 2])


async def test_what_content_kept_waiting_is_no_more_for_the_checks(court: Court, recording: Recording) -> None:
    content = court.store.put("slow", LETTER)
    court.store.before_first_reading = lambda: court.clock.advance(timedelta(seconds=20))
    await court.message(content)
    left = [mail.examine_until - court.clock.monotonic() for mail in recording.mails]
    assert left == pytest.approx([seconds_for(MESSAGE) - 20] * 2)
