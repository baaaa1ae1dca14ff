"""The text of a DSN: multipart/report with delivery-status (RFC 3464, RFC 6522, RFC 6533); pure.

All that a client or a next hop has said is cut to length and freed from control characters before it gets in here, and
all parts but a whole original are plain ASCII on the wire, so nothing can begin a field or a part of its own.
"""

import quopri
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from email.utils import format_datetime
from ipaddress import IPv6Address, ip_address
from types import MappingProxyType
from typing import Final

from tripost_domains.bounce.forwarded import UNNAMED_HOST, as_told
from tripost_domains.bounce.report import Action, Notice, Report, ReportedRecipient
from tripost_shared.mail.header import FOLD_AT_COLUMN, printable, raw_fields, unfold, values
from tripost_shared.mail.reply import SmtpReply
from tripost_shared.mail.xtext import to_utf8_address

MAX_HEADER_OCTETS: Final = 16 * 1024  # of the original's header
MAX_DIAGNOSTIC: Final = 800
EIGHT_BIT: Final = "Content-Transfer-Encoding: 8bit"
SUBJECTS: Final[Mapping[Notice, str]] = MappingProxyType(
    {
        Notice.FAILURE: "Undelivered mail: returned to sender",
        Notice.DELAY: "Delayed mail: it will be tried again",
        Notice.SUCCESS: "Delivered mail: the report that you asked for",
    }
)

_WHAT_HAPPENED: Final[Mapping[Notice, str]] = MappingProxyType(
    {
        Notice.FAILURE: "Your message could not be delivered to the recipients below. It will not be tried again.",
        Notice.DELAY: "Your message could not yet be delivered to the recipients below. You need not send it again.",
        Notice.SUCCESS: "You asked to be told: your message has come to the recipients below.",
    }
)
_MESSAGE_ID: Final = re.compile(rb"<[\x21-\x3b\x3d\x3f-\x7e]{1,250}>")
_MAX_PLAIN_LINE: Final = 990  # RFC 5322 §2.1.1: 998; longer ones go as quoted-printable
_MAX_VALUE: Final = 900  # an address needs less; the delivery-status must do without any encoding (RFC 3464 §2.1)


def compose(report: Report, dsn_id: str, boundary: str) -> bytes:
    """Write the message; `boundary` is random, so that no original can contain it."""
    report = replace(report, recipients=as_told(report.recipients))
    parts = (
        _part("text/plain; charset=utf-8", _explanation(report)),
        _part("message/delivery-status", _delivery_status(report)),
        _returned_header(bounded_header(report.header)) if report.whole is None else _returned_message(report.whole),
    )
    body = b"".join(b"--%s\r\n%s\r\n" % (boundary.encode(), part) for part in parts)
    return _header(report, dsn_id, boundary) + b"\r\n" + body + f"--{boundary}--\r\n".encode()


def status_of(reply: SmtpReply) -> str:
    """Give the enhanced code; of a reply without one, its class in general (RFC 3463 §3.1)."""
    return reply.enhanced or f"{reply.code // 100}.0.0"


def bounded_header(header: bytes) -> bytes:
    """Cut a header at the end of a field, so that it stays one."""
    kept: list[bytes] = []
    size_octets = 0
    for raw in raw_fields(header):
        size_octets += len(raw)
        if size_octets > MAX_HEADER_OCTETS:
            break
        kept.append(raw)
    return b"".join(kept)


def _header(report: Report, dsn_id: str, boundary: str) -> bytes:
    host = printable(report.reporting_mta)
    lines = [
        f"From: Mail Delivery System <MAILER-DAEMON@{host}>",
        f"To: <{printable(report.sender)}>",
        f"Subject: {SUBJECTS[report.notice]}",
        f"Date: {format_datetime(report.composed_at)}",
        f"Message-ID: <{dsn_id}@{host}>",
        "Auto-Submitted: auto-replied",  # RFC 3834 §5
        "MIME-Version: 1.0",
        f'Content-Type: multipart/report; report-type=delivery-status;\r\n\tboundary="{boundary}"',
    ]
    if report.whole is not None and not report.whole.isascii():
        lines.append(EIGHT_BIT)
    original_id = _original_message_id(report.header)
    if original_id:
        lines += [f"In-Reply-To: {original_id}", f"References: {original_id}"]
    return ("\r\n".join(lines) + "\r\n").encode()


def _original_message_id(header: bytes) -> str:
    found = values(header, "Message-ID")
    match = _MESSAGE_ID.fullmatch(unfold(found[0])) if found else None
    return match[0].decode("ascii") if match is not None else ""


def _explanation(report: Report) -> bytes:
    lines = [
        f"This is the mail system at {printable(report.reporting_mta)}.",
        "",
        _WHAT_HAPPENED[report.notice],
        "",
    ]
    for recipient in report.recipients:
        lines.append(f"  <{printable(recipient.address)}>")
        lines += (f"    {printable(reason)[:MAX_DIAGNOSTIC]}" for reason in _reasons(recipient))
        lines.append("")
    returned = "the header of your message" if report.whole is None else "your message"
    lines += [
        f"The technical details and {returned} follow. If you ask your postmaster for",
        f"help, name this id: {printable(report.message_id)}",
    ]
    return ("\r\n".join(lines) + "\r\n").encode()


def _reasons(recipient: ReportedRecipient) -> Iterator[str]:
    """Give what has led to the failure or the delay, and who said it; of a success what it is worth."""
    match recipient.action:
        case Action.DELIVERED:
            yield "delivered to the mailbox"
        case Action.EXPANDED:
            yield "passed on to everybody behind this address; no further success is reported"
        case Action.RELAYED:
            yield f"passed on to {recipient.remote_mta}, which reports no deliveries: what became of it is not known"
        case Action.DELAYED | Action.FAILED:
            if recipient.last_reply is not None:
                yield f"the reason: {recipient.reply}"
            who = f"{recipient.remote_mta} said" if recipient.remote_mta else _said_by_us(recipient)
            yield f"{who}: {recipient.end}"
            if recipient.retry_until is not None:
                yield f"tried again until {format_datetime(recipient.retry_until)}"


def _said_by_us(recipient: ReportedRecipient) -> str:
    return "the reason" if recipient.last_reply is None else "the last attempt"


def _delivery_status(report: Report) -> bytes:
    groups = [
        _group(
            ("Original-Envelope-Id", report.envid),
            ("Reporting-MTA", f"dns; {report.reporting_mta}"),
            ("X-Tripost-Id", report.message_id),
            ("Arrival-Date", format_datetime(report.arrived_at)),
        )
    ]
    groups += [
        _group(
            ("Original-Recipient", original_recipient(recipient.original)),
            ("Final-Recipient", typed_address(recipient.address)),
            ("Action", recipient.action.value),
            ("Status", status_of(recipient.reply)),
            ("Remote-MTA", _remote_mta(recipient)),
            ("Last-Attempt-Date", format_datetime(recipient.attempted_at)),
            ("Will-Retry-Until", format_datetime(recipient.retry_until) if recipient.retry_until else ""),
        )
        + _diagnostic_code(recipient)
        for recipient in report.recipients
    ]
    return b"\r\n".join(groups)


def _group(*fields: tuple[str, str]) -> bytes:
    return b"".join(_field(name, value) for name, value in fields if value)


def typed_address(address: str) -> str:
    """Write an address with its type; one with non-ASCII characters as `utf-8` with escapes (RFC 6533 §3)."""
    return f"rfc822; {address}" if address.isascii() else f"utf-8; {to_utf8_address(address)}"


def original_recipient(given: str) -> str:
    """Write what ORCPT said; non-ASCII characters in it, which only the type `utf-8` may have, with escapes."""
    kind, _, address = given.partition(";")
    return f"{kind}; {address if address.isascii() else to_utf8_address(address)}" if given else ""


def _remote_mta(recipient: ReportedRecipient) -> str:
    return "" if recipient.remote_mta in ("", UNNAMED_HOST) else f"dns; {mta_name(recipient.remote_mta)}"


def mta_name(host: str) -> str:
    """Write a host as the MTA name type `dns` has it: an address as a literal (RFC 3464 §2.2.2, RFC 5321 §4.1.3)."""
    try:
        address = ip_address(host.strip("[]"))
    except ValueError:
        return host
    return f"[IPv6:{address}]" if isinstance(address, IPv6Address) else f"[{address}]"


def _diagnostic_code(recipient: ReportedRecipient) -> bytes:
    """Write what the attempt ended with: as `smtp` only what the remote host said itself (RFC 3464 §2.3.6)."""
    if recipient.action not in {Action.FAILED, Action.DELAYED}:
        return b""
    kind = "smtp" if recipient.remote_mta else "x-tripost"
    return _folded_field("Diagnostic-Code", f"{kind}; {_ascii(str(recipient.end))[:MAX_DIAGNOSTIC]}")


def _ascii(text: str) -> str:
    return text.encode("ascii", "replace").decode("ascii")


def _field(name: str, value: str) -> bytes:
    """Write a field on one line of bounded length: each blank of a quoted local part counts (RFC 5321 §4.1.2)."""
    return f"{name}: {printable(_ascii(value))[:_MAX_VALUE]}\r\n".encode("ascii")


def _folded_field(name: str, value: str) -> bytes:
    """Write a field of words, folded at blanks."""
    lines = [f"{name}:"]
    for word in (part[:_MAX_VALUE] for part in printable(_ascii(value)).split()):
        if len(lines[-1]) + 1 + len(word) > FOLD_AT_COLUMN and lines[-1].strip().rstrip(":") != name:
            lines.append(f"\t{word}")
        else:
            lines[-1] += f" {word}"
    return ("\r\n".join(lines) + "\r\n").encode("ascii")


def _returned_header(header: bytes) -> bytes:
    """Write the original's header, and say so where it is internationalised.

    As text, where RFC 6533 §6 would allow `message/global-headers`: that one may be encoded to pass as ASCII, but mail
    readers that hold to RFC 2046 §5.2 undo no encoding of a `message/…`. What is no UTF-8 has no name for its charset.
    """
    content_type = "text/rfc822-headers"
    if not header.isascii() and _is_utf8(header):
        content_type += "; charset=utf-8"
    return _part(content_type, header)


def _returned_message(whole: bytes) -> bytes:
    """Write the original as it is: a `message/…` takes no encoding (RFC 2046 §5.2.1)."""
    encoding = "" if whole.isascii() else f"{EIGHT_BIT}\r\n"
    return f"Content-Type: message/rfc822\r\n{encoding}\r\n".encode() + whole


def _is_utf8(octets: bytes) -> bool:
    try:
        octets.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _part(content_type: str, body: bytes) -> bytes:
    """Write a part, as quoted-printable where it is not short lines of ASCII; CRLF is kept as line end."""
    lines = body.split(b"\r\n")
    is_plain = all(line.isascii() and len(line) <= _MAX_PLAIN_LINE and b"\n" not in line for line in lines)
    is_plain = is_plain and b"\r" not in b"".join(lines) and b"\0" not in body
    if is_plain:
        return f"Content-Type: {content_type}\r\n\r\n".encode() + body
    encoded = b"\r\n".join(quopri.encodestring(line).replace(b"\n", b"\r\n") for line in lines)
    return f"Content-Type: {content_type}\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n".encode() + encoded
