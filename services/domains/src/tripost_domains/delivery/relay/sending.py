"""A message as a next hop is to get it: MAIL's parameters, what the next hop must be able to do, the octets."""

import re
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import Final

from tripost_domains.delivery.octets import joined, joined_in_pieces
from tripost_domains.delivery.outcome import Outcome, Result
from tripost_domains.delivery.relay.host import Host
from tripost_shared.content.port import ContentStore
from tripost_shared.contracts.spool import SpooledMessage
from tripost_shared.mail.envelope import Recipient
from tripost_shared.mail.reply import SmtpReply
from tripost_shared.mail.xtext import UTF8_TYPE, to_utf8_address, to_xtext

MAX_HEADER_OCTETS: Final = 256 * 1024  # how far we look whether a header needs SMTPUTF8

_UNSAFE: Final = re.compile(r"[\x00-\x1f\x7f]")
NEEDS_SMTPUTF8: Final = SmtpReply(553, "5.6.7", "Internationalised mail, and the next hop does not offer SMTPUTF8")


class Sending:
    """One message for some next hop; its octets are given once per host that is tried."""

    def __init__(self, message: SpooledMessage, recipients: Sequence[Recipient], content: ContentStore) -> None:
        self.message = message
        self.size_octets = len(message.header_fields) + message.content.size_octets
        self._content = content
        self._recipients = {recipient.address: recipient for recipient in recipients}
        self._is_eight_bit = message.envelope.eight_bit or not message.header_fields.isascii()
        self._has_utf8_header: bool | None = None

    def whole(self) -> bytes | None:
        """Give all octets when the message carries them along."""
        inline = self.message.content.inline
        return None if inline is None else joined(self.message.header_fields, inline)

    def chunks(self) -> AsyncIterator[bytes]:
        """Give the octets in pieces; iterating raises ContentMissing or ContentUnavailable."""
        return joined_in_pieces(self.message.header_fields, self._content.open(self.message.content))

    def mail_command(self, capabilities: Mapping[str, str], recipients: Iterable[str]) -> bytes:
        """Write MAIL with the parameters that the host understands, and the message or these recipients need.

        8-bit content is declared as such whether or not the client had done so (RFC 6152 §2). A host that does not
        offer 8BITMIME gets it all the same, unchanged (ADR 19).

        An alias may lead from a plain address to an internationalised one, which RCPT names only after SMTPUTF8 (RFC
        6531 §3.4), whatever the client had declared.
        """
        envelope = self.message.envelope
        smtputf8 = envelope.smtputf8 or not all(map(str.isascii, (envelope.reverse_path, *recipients)))
        words = [f"MAIL FROM:<{envelope.reverse_path}>"]
        if "SIZE" in capabilities:
            words.append(f"SIZE={self.size_octets}")
        if self._is_eight_bit and "8BITMIME" in capabilities:
            words.append("BODY=8BITMIME")
        if smtputf8 and "SMTPUTF8" in capabilities:
            words.append("SMTPUTF8")
        if "DSN" in capabilities:
            words += [f"RET={envelope.ret}"] if envelope.ret else []
            words += [f"ENVID={to_xtext(envelope.envid)}"] if envelope.envid else []
        return " ".join(words).encode() + b"\r\n"

    def rcpt_command(self, capabilities: Mapping[str, str], address: str) -> bytes:
        """Write RCPT, with what the sender wants to be told of where the host can tell it (RFC 3461 §5.2.1)."""
        words = [f"RCPT TO:<{address}>"]
        recipient = self._recipients.get(address)
        if recipient is not None and "DSN" in capabilities:
            words += [f"NOTIFY={','.join(recipient.notify)}"] if recipient.notify else []
            words += [f"ORCPT={_orcpt(recipient.original)}"] if recipient.original else []
        return " ".join(words).encode() + b"\r\n"

    async def refusal(self, capabilities: Mapping[str, str], host: Host) -> Outcome | None:
        """Say why the host cannot take the message whoever it is for; None when it can.

        Internationalised mail must not be sent without SMTPUTF8 (RFC 6531 §3.2). Raises ContentMissing or
        ContentUnavailable.
        """
        limit = int(capabilities["SIZE"]) if capabilities.get("SIZE", "").isdecimal() else 0
        if 0 < limit < self.size_octets:  # RFC 1870: 0 is "no limit known"
            text = f"Message of {self.size_octets} octets is larger than the {limit} that the next hop takes"
            return Outcome(Result.FAILED, SmtpReply(552, "5.3.4", text), str(host))
        envelope = self.message.envelope
        if "SMTPUTF8" not in capabilities and (
            not envelope.reverse_path.isascii() or (envelope.smtputf8 and await self._needs_utf8_header())
        ):
            return Outcome(Result.FAILED, NEEDS_SMTPUTF8, str(host))
        return None

    async def _needs_utf8_header(self) -> bool:
        if self._has_utf8_header is None:
            head = b""
            async for chunk in self.chunks():
                head += chunk
                if b"\r\n\r\n" in head or len(head) > MAX_HEADER_OCTETS:
                    break
            self._has_utf8_header = not head.partition(b"\r\n\r\n")[0].isascii()
        return self._has_utf8_header


def _orcpt(original: str) -> str:
    kind, _, address = original.partition(";")
    return f"{kind};{to_utf8_address(address) if kind.lower() == UTF8_TYPE else to_xtext(address)}"


def is_safe_path(path: str) -> bool:
    """Tell whether it can stand in a command: no control characters."""
    return _UNSAFE.search(path) is None
