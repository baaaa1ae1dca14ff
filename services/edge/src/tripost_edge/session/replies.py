"""What edge says (RFC 5321 §4.2, RFC 3463), in one place; docs/reference/smtp.md explains each to operators."""

from typing import Final

from tripost_shared.contracts.access import AccessAction, AccessRule
from tripost_shared.contracts.filter import Action, Verdict
from tripost_shared.mail.reply import TRY_LATER, SmtpReply

# Done, or go on
OK: Final = SmtpReply(250, "2.0.0", "OK")
BYE: Final = SmtpReply(221, "2.0.0", "Bye")
HELP: Final = SmtpReply(214, "2.0.0", "See RFC 5321")
SENDER_OK: Final = SmtpReply(250, "2.1.0", "OK")
RECIPIENT_OK: Final = SmtpReply(250, "2.1.5", "OK")
CANNOT_VERIFY: Final = SmtpReply(252, "2.1.5", "Cannot VRFY user, but will take mail and attempt delivery")
READY_FOR_TLS: Final = SmtpReply(220, "2.0.0", "Ready to start TLS")
SEND_CONTENT: Final = SmtpReply(354, "", "End data with <CR><LF>.<CR><LF>")
AUTHENTICATED: Final = SmtpReply(235, "2.7.0", "Authentication successful")

# The session ends
TIMED_OUT: Final = SmtpReply(421, "4.4.2", "Timed out waiting for you, closing")
TOO_SLOW: Final = SmtpReply(421, "4.4.2", "Content arrives too slowly, closing")
SESSION_TOO_LONG: Final = SmtpReply(421, "4.4.2", "Session lasts too long, closing")
TOO_MANY_SESSIONS: Final = SmtpReply(421, "4.3.2", "Too many connections, please try again later")
TOO_MANY_OF_NETWORK: Final = SmtpReply(421, "4.7.0", "Too many connections from your network, please try again later")
TOO_MANY_OF_WIDE_NETWORK: Final = SmtpReply(
    421, "4.7.0", "Too many connections from networks near yours, try again later"
)
TOO_OFTEN: Final = SmtpReply(421, "4.7.0", "You connect too often, please try again later")
TOO_MANY_IN_ALL: Final = SmtpReply(421, "4.3.2", "Too many connections in all, please try again later")
OVERLOADED: Final = SmtpReply(421, "4.3.2", "Service is overloaded, please try again later")
SHUTTING_DOWN: Final = SmtpReply(421, "4.3.2", "Service is shutting down, please try again later")
TOO_MANY_ERRORS: Final = SmtpReply(421, "4.7.0", "Too many errors, closing")
TOO_MANY_UNKNOWN_RECIPIENTS: Final = SmtpReply(421, "4.7.0", "Too many unknown recipients, closing")
TOO_MANY_COMMANDS: Final = SmtpReply(421, "4.7.0", "Too many commands in one session, please connect again")
TOO_MANY_IDLE_COMMANDS: Final = SmtpReply(421, "4.7.0", "Too many commands without a message, closing")
ENDLESS_LINE: Final = SmtpReply(421, "4.7.0", "Line without end, closing")
TOO_MANY_MESSAGES: Final = SmtpReply(421, "4.7.0", "Too many messages in one session, please connect again")
LOGIN_OVER: Final = SmtpReply(421, "4.7.0", "Login is not valid any more, please connect and log in again")
TOO_MANY_AUTH_FAILURES: Final = SmtpReply(421, "4.7.0", "Too many failed authentications, closing")
TOO_MANY_SMALL_CHUNKS: Final = SmtpReply(421, "4.7.0", "Too many small chunks, closing")
SESSION_BROKE: Final = SmtpReply(421, "4.3.0", "Temporary failure, closing")
TALKED_TOO_EARLY: Final = SmtpReply(554, "5.5.1", "You talked before you were greeted, closing")
PIPELINED_STARTTLS: Final = SmtpReply(554, "5.5.0", "Nothing may follow STARTTLS before the TLS handshake, closing")

# Not as the protocol wants it
NOT_RECOGNISED: Final = SmtpReply(500, "5.5.2", "Command not recognised")
LINE_TOO_LONG: Final = SmtpReply(500, "5.5.2", "Line too long")
BAD_OCTETS: Final = SmtpReply(500, "5.5.2", "Line has control characters, or is not UTF-8")
NOT_IMPLEMENTED: Final = SmtpReply(502, "5.5.1", "Command not implemented")
BAD_SEQUENCE: Final = SmtpReply(503, "5.5.1", "Bad sequence of commands")
HELLO_FIRST: Final = SmtpReply(503, "5.5.1", "Say EHLO first")
NESTED_MAIL: Final = SmtpReply(503, "5.5.1", "A transaction is open already")
NO_VALID_RECIPIENTS: Final = SmtpReply(554, "5.5.1", "No valid recipients")
TLS_IN_USE: Final = SmtpReply(503, "5.5.1", "TLS is in use already")
NO_ARGUMENT_ALLOWED: Final = SmtpReply(501, "5.5.4", "This command takes no argument")
ARGUMENT_NEEDED: Final = SmtpReply(501, "5.5.4", "This command needs an argument")
BAD_XCLIENT: Final = SmtpReply(501, "5.5.4", "Syntax: XCLIENT attribute=value ..., LOGIN is not taken over")
XCLIENT_DENIED: Final = SmtpReply(550, "5.7.0", "Not allowed to speak for others")
BAD_CHUNK: Final = SmtpReply(501, "5.5.4", "Syntax: BDAT size [LAST], closing")
BAD_HELLO: Final = SmtpReply(501, "5.5.4", "Give one domain or address literal")
BAD_MAIL_SYNTAX: Final = SmtpReply(501, "5.5.4", "Syntax: MAIL FROM:<address> [parameters]")
BAD_RCPT_SYNTAX: Final = SmtpReply(501, "5.5.4", "Syntax: RCPT TO:<address>")
BAD_SENDER: Final = SmtpReply(501, "5.1.7", "Bad sender address syntax")
BAD_RECIPIENT: Final = SmtpReply(501, "5.1.3", "Bad recipient address syntax")
BAD_PARAMETER: Final = SmtpReply(501, "5.5.4", "Bad value of a parameter, or a parameter given twice")
UNKNOWN_PARAMETER: Final = SmtpReply(555, "5.5.4", "Parameter not recognised or not implemented")
NEEDS_SMTPUTF8: Final = SmtpReply(553, "5.6.7", "Address needs SMTPUTF8")

# Authentication (RFC 4954 §4, §6)
STARTTLS_FIRST: Final = SmtpReply(530, "5.7.0", "Must issue a STARTTLS command first")
AUTH_NEEDS_TLS: Final = SmtpReply(538, "5.7.11", "Encryption required for authentication")
AUTH_REQUIRED: Final = SmtpReply(530, "5.7.0", "Authentication required")
AUTH_DONE: Final = SmtpReply(503, "5.5.1", "Already authenticated")
AUTH_UNKNOWN_MECHANISM: Final = SmtpReply(504, "5.5.4", "Mechanism not supported")
AUTH_CANCELLED: Final = SmtpReply(501, "5.7.0", "Authentication cancelled")
AUTH_BAD_RESPONSE: Final = SmtpReply(501, "5.5.2", "Cannot decode the response")
AUTH_LINE_TOO_LONG: Final = SmtpReply(500, "5.5.6", "Authentication exchange line is too long")
AUTH_INVALID: Final = SmtpReply(535, "5.7.8", "Authentication credentials invalid")
AUTH_NOT_NOW: Final = SmtpReply(454, "4.7.0", "Too many failed authentications from your network, try again later")
AUTH_TRY_LATER: Final = SmtpReply(454, "4.7.0", "Temporary authentication failure")

# Policy
NOT_FOR_YOU: Final = SmtpReply(554, "5.7.1", "This service is for machines of ours only")
SENDER_NOT_YOURS: Final = SmtpReply(553, "5.7.1", "Not allowed to send as this address")
AUTHOR_NOT_YOURS: Final = SmtpReply(550, "5.7.1", "Not allowed to write as this author")
UNKNOWN_RECIPIENT: Final = SmtpReply(550, "5.1.1", "No such recipient here")
RECIPIENT_DISABLED: Final = SmtpReply(550, "5.2.1", "Recipient takes no mail")
REDIRECTED_NOWHERE: Final = SmtpReply(451, "4.3.5", "Recipient leads nowhere now, please try again later")
RELAYING_DENIED: Final = SmtpReply(550, "5.7.1", "Relaying denied")
TOO_MANY_RECIPIENTS: Final = SmtpReply(452, "4.5.3", "Too many recipients, send the others in another transaction")
REFUSED_BY_POLICY: Final = SmtpReply(550, "5.7.1", "Refused by policy")  # a verdict that refuses without words

ACCESS_DENIED: Final = "Access denied"
ACCESS_DEFERRED: Final = "Access is not possible now, please try again later"

# Content
TOO_BIG: Final = SmtpReply(552, "5.3.4", "Message is larger than allowed")
ENVELOPE_TOO_BIG: Final = SmtpReply(552, "5.3.4", "Message has too many recipients, or too long ones")
HEADER_TOO_BIG: Final = SmtpReply(552, "5.3.4", "Header is larger than allowed")
NO_AUTHOR: Final = SmtpReply(550, "5.6.0", "Message needs one From field, with one address or several, and plainly")
TOO_MANY_FIELDS: Final = SmtpReply(554, "5.6.0", "Header has too many fields")
BARE_LINE_END: Final = SmtpReply(550, "5.5.2", "Message has a bare CR or LF, lines end in CRLF (RFC 5321 2.3.8)")
NUL_OCTET: Final = SmtpReply(550, "5.5.2", "Message has a NUL octet")
LOOP: Final = SmtpReply(554, "5.4.6", "Mail loop: too many Received fields")
WAS_HERE: Final = SmtpReply(554, "5.4.6", "Mail loop: message was here too often")
SPOOL_FULL: Final = SmtpReply(452, "4.3.1", "Insufficient system storage, please try again later")


def accepted_as(message_id: str) -> SmtpReply:
    """Tell the client the id by which the message is tracked."""
    return SmtpReply(250, "2.0.0", f"Accepted as {message_id}")


def chunk_taken(octets: int) -> SmtpReply:
    """Tell the client that a chunk has come whole (RFC 3030 §2)."""
    return SmtpReply(250, "2.0.0", f"{octets} octets received")


def banned(address: str, until: str, reason: str) -> SmtpReply:
    """Tell a banned client until when (UTC), and why."""
    return SmtpReply(421, "4.7.0", f"{address} is banned until {until} UTC because of {reason}")


def greeting(hostname: str) -> SmtpReply:
    """Open the session (RFC 5321 §4.2: the host name first)."""
    return SmtpReply(220, "", f"{hostname} ESMTP Tripost")


def of_access_rule(rule: AccessRule, *, is_connecting: bool) -> SmtpReply:
    """Refuse by a rule: in the greeting's place the session ends with it (554, 421), later the command is refused."""
    if rule.action is AccessAction.DENY:
        return SmtpReply(554 if is_connecting else 550, "5.7.1", rule.reply or ACCESS_DENIED)
    return SmtpReply(421 if is_connecting else 450, "4.7.1", rule.reply or ACCESS_DEFERRED)


def of_verdict(verdict: Verdict) -> SmtpReply:
    """Give the words of a verdict that refuses, or ours when it has none."""
    return verdict.reply or (TRY_LATER if verdict.action is Action.DEFER else REFUSED_BY_POLICY)
