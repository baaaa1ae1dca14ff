"""The text of a DSN: multipart/report with delivery-status (RFC 3464, RFC 6522, RFC 6533); pure.

All that a client or a next hop has said is cut to length and freed from control characters before it gets in here, and
all parts are plain ASCII on the wire, so nothing can begin a field or a part of its own.
"""

import quopri
import re
from collections.abc import Iterator
from dataclasses import replace
from email.utils import format_datetime
from ipaddress import IPv6Address, ip_address
from typing import Final

from tripost_domains.bounce.forwarded import UNNAMED_HOST, as_told
from tripost_domains.bounce.report import FailedRecipient, Report
from tripost_shared.mail.header import FOLD_AT_COLUMN, printable, raw_fields, unfold, values
from tripost_shared.mail.reply import SmtpReply

MAX_HEADER_OCTETS: Final = 16 * 1024  # of the original's header
MAX_DIAGNOSTIC: Final = 800
SUBJECT: Final = "Undelivered mail: returned to sender"

_MESSAGE_ID: Final = re.compile(rb"<[\x21-\x3b\x3d\x3f-\x7e]{1,250}>")
_MAX_PLAIN_LINE: Final = 990  # RFC 5322 §2.1.1: 998; longer ones go as quoted-printable
_MAX_VALUE: Final = 900  # an address needs less; the delivery-status must do without any encoding (RFC 3464 §2.1)


def compose(report: Report, dsn_id: str, boundary: str) -> bytes:
    """Write the message; `boundary` is random, so that no original can contain it."""
    report = replace(report, failures=as_told(report.failures))
    parts = (
        _part("text/plain; charset=utf-8", _explanation(report)),
        _part("message/delivery-status", _delivery_status(report)),
        _returned_header(bounded_header(report.header)),
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
        f"Subject: {SUBJECT}",
        f"Date: {format_datetime(report.composed_at)}",
        f"Message-ID: <{dsn_id}@{host}>",
        "Auto-Submitted: auto-replied",  # RFC 3834 §5
        "MIME-Version: 1.0",
        f'Content-Type: multipart/report; report-type=delivery-status;\r\n\tboundary="{boundary}"',
    ]
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
        "Your message could not be delivered to the recipients below. It will not be tried again.",
        "",
    ]
    for failure in report.failures:
        lines.append(f"  <{printable(failure.address)}>")
        lines += (f"    {printable(who)}: {printable(str(reply))[:MAX_DIAGNOSTIC]}" for who, reply in _reasons(failure))
        lines.append("")
    lines += [
        "The technical details and the header of your message follow. If you ask your postmaster for",
        f"help, name this id: {printable(report.message_id)}",
    ]
    return ("\r\n".join(lines) + "\r\n").encode()


def _reasons(failure: FailedRecipient) -> Iterator[tuple[str, SmtpReply]]:
    """Give what has led to the failure, and who said it."""
    if failure.last_reply is not None:
        yield "the reason", failure.reply
        yield f"{failure.remote_mta} said" if failure.remote_mta else "the last attempt", failure.last_reply
    else:
        yield f"{failure.remote_mta} said" if failure.remote_mta else "the reason", failure.reply


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
            ("Original-Recipient", original_recipient(failure.original)),
            ("Final-Recipient", typed_address(failure.address)),
            ("Action", "failed"),
            ("Status", status_of(failure.reply)),
            ("Remote-MTA", _remote_mta(failure)),
            ("Last-Attempt-Date", format_datetime(failure.attempted_at)),
        )
        + _folded_field("Diagnostic-Code", _diagnostic(failure))
        for failure in report.failures
    ]
    return b"\r\n".join(groups)


def _group(*fields: tuple[str, str]) -> bytes:
    return b"".join(_field(name, value) for name, value in fields if value)


def typed_address(address: str) -> str:
    """Write an address with its type; one with non-ASCII characters as `utf-8` with escapes (RFC 6533 §3)."""
    return f"rfc822; {address}" if address.isascii() else f"utf-8; {_escaped(address)}"


def original_recipient(given: str) -> str:
    """Write what ORCPT said; non-ASCII characters in it, which only the type `utf-8` may have, with escapes."""
    kind, _, address = given.partition(";")
    return f"{kind}; {address if address.isascii() else _escaped(address)}" if given else ""


def _remote_mta(failure: FailedRecipient) -> str:
    return "" if failure.remote_mta in ("", UNNAMED_HOST) else f"dns; {mta_name(failure.remote_mta)}"


def mta_name(host: str) -> str:
    """Write a host as the MTA name type `dns` has it: an address as a literal (RFC 3464 §2.2.2, RFC 5321 §4.1.3)."""
    try:
        address = ip_address(host.strip("[]"))
    except ValueError:
        return host
    return f"[IPv6:{address}]" if isinstance(address, IPv6Address) else f"[{address}]"


def _diagnostic(failure: FailedRecipient) -> str:
    """Write what the attempt ended with: as `smtp` only what the remote host said itself (RFC 3464 §2.3.6)."""
    kind = "smtp" if failure.remote_mta else "x-tripost"
    return f"{kind}; {_ascii(str(failure.end))[:MAX_DIAGNOSTIC]}"


def _escaped(address: str) -> str:
    return "".join(each if " " < each <= "~" and each not in "\\+=" else f"\\x{{{ord(each):X}}}" for each in address)


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
