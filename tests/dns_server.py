"""A DNS server for tests, answering from a table by UDP and TCP, with troubles on demand."""

import asyncio
import struct
from collections import Counter, defaultdict
from collections.abc import Callable
from types import TracebackType
from typing import Final, cast

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.rrset

from servers import free_port

TROUBLES: Final = {"SERVFAIL", "REFUSED", "TIMEOUT", "GARBAGE", "NXDOMAIN", "NODATA", "TRUNCATED"}
MOST_CNAMES: Final = 8


class DnsServer:
    """Answers from records such as `"example.org TXT v=spf1 -all"`; `"example.org 0 A 192.0.2.1"` gives the TTL.

    Instead of a value: SERVFAIL, REFUSED, TIMEOUT (no answer), GARBAGE (right id and question, then nonsense),
    NXDOMAIN, NODATA, or TRUNCATED (nothing but the flag TC, by TCP also). What does not fit 1232 octets is truncated by
    UDP and whole by TCP. A name without records is NXDOMAIN. A TXT value of more than 255 octets becomes several
    strings. `questions` counts by name and type, `by_tcp` too.
    """

    def __init__(self, *records: str, ttl_seconds: int = 300, negative_ttl_seconds: int = 60) -> None:
        self.questions: Counter[tuple[str, str]] = Counter()
        self.by_tcp = 0
        self.ignores_edns = False  # True: FORMERR for questions with EDNS, as very old servers do
        self.repeats_questions = True  # False: what it cannot read is answered with the header alone
        self.leads_out = False  # True: a CNAME is given without its target's records
        self.once_answered: Callable[[], None] | None = None  # called after the next answer that has records
        self._ttl_seconds = ttl_seconds
        self._negative_ttl_seconds = negative_ttl_seconds
        self._records: dict[tuple[str, str], list[tuple[int, str]]] = defaultdict(list)
        self._port = 0
        self._transport: asyncio.DatagramTransport | None = None
        self._server: asyncio.Server | None = None
        for record in records:
            self.add(record)

    def add(self, record: str) -> None:
        """Add a record."""
        name, rest = record.split(" ", 1)
        first, value = rest.split(" ", 1)
        ttl_seconds = self._ttl_seconds
        if first.isdigit():
            ttl_seconds = int(first)
            first, value = value.split(" ", 1)
        self._records[name.lower().rstrip("."), first].append((ttl_seconds, value))

    def replace(self, record: str) -> None:
        """Put a record in the place of those of its name and type."""
        name, rest = record.split(" ", 1)
        record_type = next(word for word in rest.split(" ") if not word.isdigit())
        self._records.pop((name.lower().rstrip("."), record_type), None)
        self.add(record)

    @property
    def address(self) -> str:
        """Where it answers, as TRIPOST_DNS_SERVERS has it."""
        return f"127.0.0.1:{self._port}"

    async def __aenter__(self) -> "DnsServer":
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        """Listen; a second start takes the same port again."""
        self._port = self._port or free_port()
        loop = asyncio.get_running_loop()
        self._server = await asyncio.start_server(self._serve_tcp, "127.0.0.1", self._port)
        self._transport, _ = await loop.create_datagram_endpoint(
            lambda: _Udp(self), local_addr=("127.0.0.1", self._port)
        )

    async def stop(self) -> None:
        """Listen no more."""
        if self._transport is not None:
            self._transport.close()
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    def answer(self, octets: bytes, *, by_tcp: bool) -> bytes | None:
        """Answer one message; None: stay silent."""
        try:
            query = dns.message.from_wire(octets)
        except dns.exception.DNSException:
            return None
        question = query.question[0]
        name = question.name.to_text(omit_final_dot=True).lower()
        record_type = dns.rdatatype.to_text(question.rdtype)
        self.questions[name, record_type] += 1
        self.by_tcp += by_tcp
        response = dns.message.make_response(query, recursion_available=True)
        if self.ignores_edns and query.edns >= 0:
            response.set_rcode(dns.rcode.FORMERR)
            if not self.repeats_questions:
                response.question.clear()
            return response.to_wire()
        trouble = self._fill(response, name, record_type)
        if trouble == "TIMEOUT":
            return None
        if trouble == "GARBAGE":
            return octets[:2] + b"\x81\x80\0\1\0\7\0\0\0\0" + octets[12 : 12 + len(question.name.to_wire() or b"") + 4]
        if trouble in {"SERVFAIL", "REFUSED", "NXDOMAIN"}:
            response.set_rcode(dns.rcode.from_text(trouble))
        if trouble == "TRUNCATED":
            response.flags |= dns.flags.TC
        try:
            return response.to_wire(max_size=65535 if by_tcp else 1232)
        except dns.exception.TooBig:
            response.answer.clear()
            response.flags |= dns.flags.TC
            return response.to_wire()

    def _fill(self, response: dns.message.Message, name: str, record_type: str) -> str:
        """Put the records into the response, CNAMEs followed; gives the trouble that there is, or ""."""
        for _ in range(MOST_CNAMES):
            wanted = record_type
            if (name, record_type) not in self._records and (name, "CNAME") in self._records:
                wanted = "CNAME"
            records = self._records.get((name, wanted), [])
            if not records or records[0][1] in {"NXDOMAIN", "NODATA"}:
                is_known = any(known == name for known, _ in self._records)
                self._add_soa(response)
                return records[0][1] if records else "NODATA" if is_known else "NXDOMAIN"
            if records[0][1] in TROUBLES:
                return records[0][1]
            for ttl_seconds, value in records:
                response.answer.append(_rrset(name, ttl_seconds, wanted, value))
            if self.once_answered is not None:
                once_answered, self.once_answered = self.once_answered, None
                once_answered()
            if wanted == record_type or self.leads_out:
                return ""
            name = records[0][1].lower().rstrip(".")
        return "SERVFAIL"

    def _add_soa(self, response: dns.message.Message) -> None:
        if self._negative_ttl_seconds >= 0:
            text = f"ns.example. postmaster.example. 1 3600 600 86400 {self._negative_ttl_seconds}"
            response.authority.append(dns.rrset.from_text("example.", 3600, "IN", "SOA", text))

    async def _serve_tcp(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            (length,) = struct.unpack("!H", await reader.readexactly(2))
            answer = self.answer(await reader.readexactly(length), by_tcp=True)
            if answer is not None:
                writer.write(struct.pack("!H", len(answer)) + answer)
                await writer.drain()
            else:
                await reader.read()
        except asyncio.IncompleteReadError:
            return
        finally:
            writer.close()


class _Udp(asyncio.DatagramProtocol):
    def __init__(self, server: DnsServer) -> None:
        self._server = server
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)  # asyncio's own is no subclass of it

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        answer = self._server.answer(data, by_tcp=False)
        if answer is not None and self._transport is not None:
            self._transport.sendto(answer, addr)


def _rrset(name: str, ttl_seconds: int, record_type: str, value: str) -> dns.rrset.RRset:
    if record_type == "TXT":
        octets = value.encode("latin-1")
        pieces = [octets[start : start + 255] for start in range(0, len(octets), 255)] or [b""]
        value = " ".join('"' + "".join(f"\\{octet:03d}" for octet in piece) + '"' for piece in pieces)
    return dns.rrset.from_text(dns.name.from_text(name), ttl_seconds, "IN", record_type, _absolute(record_type, value))


def _absolute(record_type: str, value: str) -> str:
    if record_type in {"MX", "PTR", "CNAME", "NS"} and not value.endswith("."):
        return value + "."
    return value
