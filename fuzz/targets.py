"""The parsers under fuzzing: a target takes any octets, and raises where its parser does not keep its word."""

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from email.utils import getaddresses
from ipaddress import ip_address
from types import MappingProxyType
from typing import Final

from spooled import is_clean
from tripost_domains.delivery.relay.stuffing import DotStuffer
from tripost_domains.sasl.malformed import Malformed
from tripost_domains.sasl.scram_messages import ClientFinal, ClientFirst
from tripost_edge.listeners.proxy_protocol import Announcement, MalformedHeader, read_header
from tripost_edge.session import dsn_parameters
from tripost_edge.session.author_field import NoAuthors, authors_of
from tripost_edge.session.chunk_reader import Chunk, ChunkReader, parse_chunk
from tripost_edge.session.command import parse_command, parse_mail, parse_rcpt
from tripost_edge.session.content_decoder import ContentDecoder
from tripost_edge.session.header_inspection import count_fields, inspect_header
from tripost_edge.session.inbox import EndlessLine, Inbox, LineTooLong
from tripost_edge.session.received import received_field
from tripost_edge.session.xclient import parse_xclient
from tripost_edge.stages.sasl import Exchange, Login, Plain, decoded
from tripost_filter.authentication_results import authentication_results
from tripost_shared.contracts.filter import Finding
from tripost_shared.mail.address import MAX_DOMAIN_OCTETS, Address, InvalidAddress, parse_path
from tripost_shared.mail.client import Client
from tripost_shared.mail.envelope import Envelope, Recipient
from tripost_shared.mail.failures import PermanentFailure
from tripost_shared.mail.header import is_printable, raw_fields, unfold
from tripost_shared.mail.reply import SmtpReply

CUT: Final = b"\xfe"  # where octets are cut into pieces; UTF-8 has no such octet
LINE_OCTETS: Final = 2048
HOSTNAME: Final = "mx.tripost.example"

_CONTROL: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_QUOTED: Final = re.compile(rb'"(?:[^"\\]|\\.)*"')
_ONE_RESULT: Final = re.compile(
    rb"Authentication-Results:\s+mx\.tripost\.example;\s+spf=permerror(?:\s+reason=Q)?"
    rb"\s+smtp\.(?:helo|mailfrom)=(?:Q|[A-Za-z0-9._+@-]+)"
)
_FORGED: Final = re.compile(rb"(?im)^(?:return-path|x-spam-(?:flag|status)|(?:resent-)?bcc)(?:[ \t]|\r\n[ \t])*:")


def line(octets: bytes) -> None:
    """Cut lines end where they would uncut, and hold no CRLF."""
    assert list(_lines([octets.replace(CUT, b"")])) == list(_lines(octets.split(CUT)))


def command(octets: bytes) -> None:
    """A command line gives a verb and an argument without control characters, whose parsers refuse in order."""
    try:
        verb, argument = parse_command(octets, LINE_OCTETS)
    except PermanentFailure:
        return
    assert verb == verb.upper()
    assert not _CONTROL.search(argument)
    for parse in (parse_mail, parse_rcpt, parse_chunk):
        try:
            parse(argument)
        except PermanentFailure:
            continue


def parameters(octets: bytes) -> None:
    """Parameters have names in capitals; DSN's values are printable once they are decoded."""
    try:
        given = parse_mail(f"FROM:<> {octets.decode('utf-8', 'ignore')}").parameters
    except PermanentFailure:
        return
    for name, value in given.items():
        assert name == name.upper()
        assert name.isascii()
        for read in _READERS:
            try:
                result = read(value)
            except PermanentFailure:
                continue
            assert is_printable("".join(result))


def address(octets: bytes) -> None:
    """An address is printable, and reads as itself once it is written; so does the form by which it is compared."""
    try:
        path = parse_path(octets.decode("utf-8", "ignore"))
    except InvalidAddress:
        return
    if path is None or not path.domain:
        return
    assert is_printable(str(path))
    assert parse_path(str(path)) == path
    assert len(path.domain) <= MAX_DOMAIN_OCTETS
    try:
        compared = parse_path(path.key)
    except InvalidAddress:  # folded letters may be more
        return
    assert compared is not None
    assert compared.key == path.key


def proxy(octets: bytes) -> None:
    """A PROXY header is read once it is whole, whatever follows it; it announces an address or nothing."""
    whole = _announced(octets)
    if isinstance(whole, Announcement):
        assert 0 < whole.octets <= len(octets)
        assert not whole.address or str(ip_address(whole.address)) == whole.address
        assert 0 <= whole.port <= 65_535
        assert _announced(octets[: whole.octets]) == whole
        assert _announced(octets[: whole.octets - 1]) is None
    elif whole is None:
        assert all(_announced(octets[:size]) is None for size in range(len(octets)))


def xclient(octets: bytes) -> None:
    """XCLIENT names an address, or that there is none to know, or is refused."""
    try:
        said = parse_xclient(octets.decode("utf-8", "ignore"))
    except PermanentFailure:
        return
    assert not said.address or str(ip_address(said.address)) == said.address
    assert 0 <= said.port <= 65_535


def chunks(octets: bytes) -> None:
    """Chunks give the same content however they are cut, whole lines, or a fault."""
    pieces = octets.split(CUT)
    whole, cut = ChunkReader(), ChunkReader()
    content = _fed(whole, [b"".join(pieces)])
    assert (whole.fault is None) == (_fed_fault(cut, pieces) is None)
    assert is_clean(content)
    if whole.fault is None:
        assert content.removesuffix(b"\r\n") == b"".join(pieces).removesuffix(b"\r\n")


def content(octets: bytes) -> None:
    """Content ends at CRLF.CRLF alone, however it is cut, and goes out as it came in."""
    pieces = octets.split(CUT)
    wire = b"".join(pieces)
    (given, fault, rest), in_pieces = _decoded([wire]), _decoded(pieces)
    assert (fault is None, rest) == (in_pieces[1] is None, in_pieces[2])
    end = (b"\r\n" + wire).find(b"\r\n.\r\n")
    assert rest == (None if end < 0 else wire[end + 3 :])
    if fault is not None:
        return
    assert given == in_pieces[0]
    assert is_clean(given)
    if rest is not None:
        _see_that_it_goes_out(given)


def sasl(octets: bytes) -> None:
    """Responses of AUTH give credentials that are texts without NUL, or a refusal."""
    for exchange in (Plain(), Login()):
        _answer(exchange, octets.split(CUT))
    for parse in (ClientFirst.parse, ClientFinal.parse):
        try:
            parse(octets)
        except Malformed:
            continue


def header(octets: bytes) -> None:
    """An inspected header is what it was, but for fields that are left out; of those none is left."""
    given = _as_content(octets)
    given = given if given.endswith(b"\r\n") or not given else given + b"\r\n"
    given = given.partition(b"\r\n\r\n")[0].removesuffix(b"\r\n") + b"\r\n" if given else b""
    inspection = inspect_header(given, HOSTNAME, is_submitted=True)
    assert not _FORGED.search(inspection.header)
    assert inspection.header[:1] not in (b" ", b"\t")
    before, after = list(raw_fields(given)), list(raw_fields(inspection.header))
    assert len(before) - len(after) == inspection.removed
    left = iter(before)
    assert all(field in left for field in after)
    assert is_printable(inspection.subject)
    assert count_fields(given) >= 0
    assert inspect_header(inspection.header, HOSTNAME, is_submitted=True).header == inspection.header


def author(octets: bytes) -> None:
    """From names authors; the standard library's reader finds no other one that stands there in one piece."""
    value = _as_content(octets)
    try:
        found = authors_of((value,))
    except NoAuthors:
        return
    assert found
    for each in found:
        assert is_printable(each)
        assert str(Address.parse(each)) == each
    whole = unfold(value).decode("utf-8", "surrogateescape")
    for _, text in getaddresses([whole]):
        try:
            other = Address.parse(text)
        except InvalidAddress:
            continue
        assert text not in whole or str(other) in found, f"{other} is none of {found}"


def received(octets: bytes) -> None:
    """Whatever a client calls itself and its recipient, Received is one field."""
    helo, _, recipient = octets.decode("utf-8", "surrogateescape").partition("\0")
    field = received_field(
        Client("192.0.2.7", helo=helo),
        Envelope("", (Recipient(recipient),)),
        "1k3v9q2m8f0abcde.1",
        datetime(2026, 1, 1, tzinfo=UTC),
        hostname=HOSTNAME,
    )
    assert len(list(raw_fields(field))) == 1
    assert is_clean(field)
    assert field.startswith(b"Received:")
    assert field.endswith(b"\r\n")


def results(octets: bytes) -> None:
    """Authentication-Results says one thing, however its client calls itself and its reverse-path."""
    helo, _, reverse_path = octets.decode("utf-8", "surrogateescape").partition("\0")
    finding = Finding("spf", "permerror", because=helo, evidence={"identity": "mailfrom" if reverse_path else "helo"})
    field = authentication_results(HOSTNAME, Client("192.0.2.7", helo=helo), reverse_path, [finding])
    assert is_clean(field)
    (only,) = raw_fields(field)
    unfolded = _QUOTED.sub(b"Q", only.replace(b"\r\n", b""))
    assert _ONE_RESULT.fullmatch(unfolded), unfolded


TARGETS: Final[Mapping[str, Callable[[bytes], None]]] = MappingProxyType(
    {
        target.__name__: target
        for target in (
            line,
            command,
            parameters,
            address,
            proxy,
            xclient,
            chunks,
            content,
            sasl,
            header,
            author,
            received,
            results,
        )
    }
)
_READERS: Final = (
    dsn_parameters.read_ret,
    dsn_parameters.read_envid,
    dsn_parameters.read_notify,
    lambda value: dsn_parameters.read_orcpt(value, smtputf8=True),
)


def _as_content(octets: bytes) -> bytes:
    """Leave out what refuses a message before its header is looked at: a bare CR or LF, NUL."""
    return re.sub(rb"\r(?!\n)|(?<!\r)\n", b"", octets).replace(b"\0", b"")


def _lines(pieces: list[bytes]) -> Iterator[bytes]:
    inbox = Inbox()
    for piece in pieces:
        inbox.append(piece)
        while True:
            try:
                taken = inbox.take_line()
            except LineTooLong:
                yield b"\r\n"  # what no line holds
                continue
            except EndlessLine:
                return
            if taken is None:
                break
            assert b"\r\n" not in taken
            yield taken


def _announced(octets: bytes) -> Announcement | str | None:
    try:
        return read_header(octets)
    except MalformedHeader:
        return "malformed"


def _fed(reader: ChunkReader, pieces: list[bytes]) -> bytes:
    given = b""
    for number, piece in enumerate(pieces, 1):
        reader.begin(Chunk(len(piece), is_last=number == len(pieces)))
        given += reader.feed(piece)
        assert reader.is_complete
    return given


def _fed_fault(reader: ChunkReader, pieces: list[bytes]) -> object:
    given = _fed(reader, pieces)
    assert is_clean(given)
    return reader.fault


def _decoded(pieces: list[bytes]) -> tuple[bytes, object, bytes | None]:
    decoder = ContentDecoder()
    given = b""
    for number, piece in enumerate(pieces, 1):
        given += decoder.feed(piece)
        if decoder.is_complete:
            return given, decoder.fault, decoder.rest + b"".join(pieces[number:])
    return given, decoder.fault, None


def _see_that_it_goes_out(given: bytes) -> None:
    """Send content as relay does, and take it in again."""
    stuffer = DotStuffer()
    wire = stuffer.feed(given) + stuffer.end()
    assert is_clean(wire)
    assert (b"\r\n" + wire).find(b"\r\n.\r\n") == len(wire) - 3
    again, fault, rest = _decoded([wire])
    assert (again, fault, rest) == (given, None, b"")


def _answer(exchange: Exchange, responses: list[bytes]) -> None:
    try:
        step = exchange.begin(None)
        for response in responses:
            step = exchange.answer(decoded(response.decode("latin-1")))
            if not isinstance(step, SmtpReply):
                assert "\0" not in step.username + step.password
                return
    except PermanentFailure:
        return
