"""A judge with all that is around it in memory, and what is asked of it."""

from datetime import timedelta

from tripost_filter.checks.greylist import KnownTriplets
from tripost_filter.content_reader import ContentReader
from tripost_filter.judge import Judge
from tripost_filter.registry import Surroundings
from tripost_shared.clock import FrozenClock
from tripost_shared.config.port import Watched
from tripost_shared.contracts.config import DnsblZone, FilterConfig
from tripost_shared.contracts.filter import (
    ConnectionQuestion,
    Finding,
    MessageQuestion,
    RecipientsAnswer,
    RecipientsQuestion,
    Verdict,
)
from tripost_shared.dns.port import Resolver
from tripost_shared.kv.memory import MemoryBucket
from tripost_shared.mail.client import Client
from tripost_shared.mail.content import Content
from tripost_shared.mail.envelope import Envelope, Recipient
from unit.filter.mails import LETTER, STRANGER, CachedTable, ChunkedStore
from unit.filter.signing import key_record, rsa_key

RECORDS = (
    "sender.example TXT v=spf1 ip4:192.0.2.0/24 -all",
    "forged.example TXT v=spf1 -all",
    "66.2.0.192.bl.example A 127.0.0.2",
    "7.2.0.192.in-addr.arpa PTR mail.sender.example",
    "mail.sender.example A 192.0.2.7",
    f"sel._domainkey.sender.example TXT {key_record(rsa_key())}",
)
CONFIG = FilterConfig(revision=3, dnsbl_zones=(DnsblZone("bl.example"),))
SPF_PASS = Finding("spf", "pass", evidence={"identity": "mailfrom", "domain": "sender.example"})


class Court:
    """A judge with all that is around it in memory."""

    def __init__(
        self,
        config: FilterConfig = CONFIG,
        resolver: Resolver | None = None,
        content_within: timedelta = timedelta(seconds=1),
    ) -> None:
        self.clock = FrozenClock()
        self.bucket = MemoryBucket(self.clock)
        self.store = ChunkedStore(self.clock)
        self.watched = Watched(config)
        self.around = Surroundings(
            "mx.dest.example",
            self.clock,
            resolver or CachedTable(*RECORDS),
            self.bucket,
            KnownTriplets(self.clock),
        )
        reader = ContentReader(self.store, at_once=1, max_octets=1 << 20, within=content_within)
        self.judge = Judge(self.watched, self.around, reader)

    async def connection(self, client: Client = STRANGER) -> Verdict:
        return await self.judge.connection(ConnectionQuestion("1", client))

    async def recipients(
        self,
        *recipients: str,
        client: Client = STRANGER,
        reverse_path: str = "ann@sender.example",
        sender: tuple[Finding, ...] = (),
    ) -> tuple[Verdict, ...]:
        question = RecipientsQuestion("1.1", client, reverse_path, recipients or ("bob@dest.example",), sender=sender)
        return (await self.judge.recipients(question)).verdicts

    async def client_and_recipient(
        self, client: Client = STRANGER, reverse_path: str = "ann@sender.example", sender: tuple[Finding, ...] = ()
    ) -> RecipientsAnswer:
        question = RecipientsQuestion(
            "1.1", client, reverse_path, ("bob@dest.example",), and_client=True, sender=sender
        )
        return await self.judge.recipients(question)

    async def message(
        self, octets: bytes | Content = LETTER, client: Client = STRANGER, findings: tuple[Finding, ...] = (SPF_PASS,)
    ) -> Verdict:
        content = octets if isinstance(octets, Content) else Content.of(octets)
        envelope = Envelope("ann@sender.example", (Recipient("bob@dest.example"),))
        return await self.judge.message(MessageQuestion("1.1", client, envelope, content, findings))


def results(verdict: Verdict) -> dict[str, str]:
    return {finding.check: finding.result for finding in verdict.findings}
