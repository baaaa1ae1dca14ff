"""RCPT commands that a client has pipelined (RFC 2920 §3.1), taken together so that they are judged together."""

from typing import Final

from tripost_edge.session.command import parse_command
from tripost_edge.session.inbox import CRLF, EndlessLine, Inbox, LineTooLong
from tripost_shared.mail.failures import PermanentFailure

MAX_BATCH: Final = 200


def take_recipients(inbox: Inbox, most_octets: int) -> list[str]:
    """Take the RCPT lines that are at hand and give their arguments; one that cannot be read is left in its place."""
    arguments: list[str] = []
    while len(arguments) < MAX_BATCH and inbox.next_line_begins(b"RCPT "):
        try:
            line = inbox.take_line() or b""
        except LineTooLong:
            inbox.put_back(CRLF)
            break
        except EndlessLine:  # it is still there, and ends the session when it is its turn
            break
        try:
            arguments.append(parse_command(line, most_octets).argument)
        except PermanentFailure:
            inbox.put_back(line + CRLF)
            break
    return arguments
