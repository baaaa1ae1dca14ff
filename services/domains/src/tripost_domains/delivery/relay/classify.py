"""What a next hop's reply, or its silence, means for the delivery; pure."""

from dataclasses import replace
from enum import StrEnum
from typing import Final

from tripost_domains.delivery.outcome import Outcome, Result
from tripost_domains.delivery.relay.host import Host
from tripost_shared.mail.reply import SmtpReply


class Step(StrEnum):
    """Where in the dialogue we are, in words that complete "while …"."""

    CONNECT = "connecting"
    GREETING = "waiting for the greeting"
    HELLO = "sending EHLO"
    TLS = "starting TLS"
    MAIL = "sending MAIL"
    RCPT = "sending RCPT"
    DATA = "sending DATA"
    CONTENT = "sending the content"
    END = "waiting for the reply to the content"


# RFC 7504 §3: 521 as a greeting, and 556, say for good that no mail is taken.
NO_MAIL_HERE: Final = frozenset({521, 556})


# RFC 5321 §4.5.3.1.10: at RCPT 552 is what old hosts say for 452, "too many recipients". One that says by its enhanced
# code that it means something else (RFC 3463: 5.2.2 mailbox full, 5.3.4 message too big) is taken at its word.
TOO_MANY_RECIPIENTS: Final = frozenset({"", "5.0.0", "5.5.3"})


class HostFailure(Exception):
    """This host cannot be used now, or not for all: the next one may be tried for recipients that are left.

    `outcome` is what it means if no other host is.
    """

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(str(outcome.reply))
        self.outcome = outcome


def classify(reply: SmtpReply, step: Step, host: Host) -> Outcome:
    """Say what a reply means for the recipient: at END 2yz is done; 4yz defers, 5yz fails, anything else defers."""
    detail = f"while {step}"
    is_for_now = step is Step.RCPT and reply.code == 552 and reply.enhanced in TOO_MANY_RECIPIENTS
    if reply.is_permanent and not is_for_now:
        return Outcome(Result.FAILED, reply, str(host), host.name, detail)
    if reply.is_transient or is_for_now:
        return Outcome(Result.DEFERRED, reply, str(host), host.name, detail)
    if step is Step.END and 200 <= reply.code < 300:
        return Outcome(Result.RELAYED, reply, str(host), host.name)
    return Outcome(
        Result.DEFERRED, SmtpReply(451, "4.5.0", f"Unexpected reply while {step}: {reply}"), str(host), detail=detail
    )


def classify_opening(reply: SmtpReply, step: Step, host: Host) -> Outcome:
    """Say what a refusal before MAIL means: it is about us or the host, so only its clear "never" fails the message.

    A 5yz greeting is as often a block list or an overload as a fact about the recipient; in doubt we defer.
    """
    detail = f"while {step}"
    if reply.code in NO_MAIL_HERE:
        return Outcome(Result.FAILED, reply, str(host), host.name, detail)
    return Outcome(Result.DEFERRED, reply, str(host), host.name if reply.code >= 400 else "", detail)


def lost(step: Step, host: Host, because: str) -> Outcome:
    """Say what a connection that is gone means: a deferral, whatever had been said (RFC 5321 §4.2.5).

    After the final dot the next hop may have taken the message, so the next attempt may duplicate it.
    """
    if step is Step.CONNECT:
        reply = SmtpReply(451, "4.4.1", f"No connection to {host}: {because}")
        return Outcome(Result.DEFERRED, reply, str(host))
    reply = SmtpReply(451, "4.4.2", f"Connection with {host} lost while {step}: {because}")
    uncertain = "the next hop may have taken the message; the next attempt may duplicate it" if step is Step.END else ""
    return Outcome(Result.DEFERRED, reply, str(host), detail=uncertain)


def may_want_tls(reply: SmtpReply) -> bool:
    """Tell whether a refusal can mean that the host wants TLS: `530` (RFC 3207 §4), or anything about security.

    There is an enhanced code for just this, x.7.10 in IANA's registry, but hosts say x.7.0 and x.7.1 as often.
    """
    return reply.code == 530 or reply.enhanced[1:4] == ".7."


def for_want_of_tls(outcome: Outcome) -> Outcome:
    """Turn a refusal in plain text, where TLS was wished for, into a deferral: with TLS the host may think better."""
    return replace(outcome, result=Result.DEFERRED, detail=f"{outcome.detail}, in plain text since TLS did not work")


def tls_trouble(host: Host, because: str) -> Outcome:
    """Say that TLS is required and was not to be had."""
    return Outcome(Result.DEFERRED, SmtpReply(451, "4.7.5", f"TLS with {host} is required: {because}"), str(host))
