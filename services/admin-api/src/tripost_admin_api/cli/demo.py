"""`tripost demo`: two mailboxes, three messages, and what became of each."""

import re
import secrets
import smtplib
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import formatdate, make_msgid
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from tripost_admin_api.cli.client import Client, connect, path
from tripost_admin_api.cli.failure import CommandFailed, ExitCode
from tripost_admin_api.cli.home import is_there
from tripost_admin_api.cli.output import Form, Output, line, note, structured
from tripost_admin_api.cli.timeline import timeline

DOMAIN: Final = "demo.test"
ANN: Final = f"ann@{DOMAIN}"
BEN: Final = f"ben@{DOMAIN}"
STRANGER: Final = "stranger@sender.example"

# The two test patterns of the industry, harmless by themselves; divided, so that no scanner finds them in here.
GTUBE: Final = "XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE" + "-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X"
EICAR: Final = r"X5O!P%@AP[4\PZX54(P^)7CC)7}$EICAR" + "-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"

SMTP_SECONDS: Final = 30.0
SETTLED_WITHIN_SECONDS: Final = 20.0
POLL_SECONDS: Final = 0.1
SETTLED: Final = frozenset({"delivered", "relayed", "refused", "failed", "bounced", "discarded"})
ANSWERED: Final = frozenset({"accepted", "refused"})
_ID: Final = re.compile(r"\b([0-9a-hjkmnp-tv-z]{16}(?:\.[1-9][0-9]*)?)\b")

Mx = Annotated[
    str, typer.Option("--mx", envvar="TRIPOST_EDGE_MX_LISTEN", help="Where mail from other servers is taken.")
]
Submission = Annotated[
    str, typer.Option("--submission", envvar="TRIPOST_EDGE_SUBMISSION_LISTEN", help="Where users submit mail.")
]


@dataclass(frozen=True, slots=True)
class Sent:
    """What the server said to a message. `code` is that of its last reply."""

    code: int
    reply: str

    @property
    def identifier(self) -> str:
        """The message's id, which every reply about it names; "" when it does not."""
        found = _ID.findall(self.reply)
        return found[-1] if found else ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a message. `trace` is empty when nothing is known of it."""

    name: str
    sent: Sent
    expected: str
    as_expected: bool
    trace: dict[str, Any]


def demo(
    context: typer.Context,
    mx: Mx = "127.0.0.1:2525",
    submission: Submission = "127.0.0.1:2587",
    output: Output = Form.TABLE,
) -> None:
    """Send a good message, a spam test and a virus test through the cluster, and show what became of each.

    Makes the domain demo.test and two mailboxes with random passwords. It may be run again.
    """
    for option, listen in (("--mx", mx), ("--submission", submission)):
        _endpoint(listen, option)
    client = connect(context)
    password = _prepare(client)
    refuses = client.get("policy")["mode"] == "enforce"
    if not refuses:
        note("The policy's mode is monitor: nothing is refused, so the test patterns arrive, and their traces tell.")
    outcomes = [
        _follow(client, "a good message", _submit(submission, password, client.place.home), refused=False),
        _follow(client, "GTUBE, the spam test", _send(mx, _spam()), refused=refuses, signature="GTUBE"),
        _follow(client, "EICAR, the virus test", _send(mx, _virus()), refused=refuses, signature="Eicar"),
    ]
    _show(outcomes, output)
    if not all(outcome.as_expected for outcome in outcomes):
        raise CommandFailed("Not everything went as it should; see above, and: tripost status")


def _prepare(client: Client) -> str:
    """Make domain and mailboxes where they are missing; gives ann's new password."""
    password = secrets.token_urlsafe(12)
    if client.find(path("domains", DOMAIN)) is None:
        client.post("domains", {"name": DOMAIN})
    for address in (ANN, BEN):
        given = password if address == ANN else secrets.token_urlsafe(12)
        if client.find(path("mailboxes", address)) is not None:
            client.put(path("mailboxes", address, "password"), {"password": given})
        else:
            client.post("mailboxes", {"address": address, "password": given})
    return password


def _submit(listen: str, password: str, home: Path) -> Sent:
    """Send the good message as ann would: STARTTLS, then AUTH."""
    message = _composed(ANN, "A good message", "Dear Ben,\n\nthis is what mail is for.\n\nAnn\n")
    with _session(listen) as smtp:
        smtp.starttls(context=_tls_context(home / "tls" / "edge.crt"))
        smtp.login(ANN, password)
        return _transaction(smtp, ANN, message)


def _send(listen: str, message: EmailMessage) -> Sent:
    """Send a message as a foreign server would."""
    with _session(listen) as smtp:
        return _transaction(smtp, STRANGER, message)


def _spam() -> EmailMessage:
    return _composed(STRANGER, "Test of the spam filter", f"{GTUBE}\n")


def _virus() -> EmailMessage:
    message = _composed(STRANGER, "Test of the virus filter", "See what is attached.\n")
    message.add_attachment(EICAR.encode(), maintype="application", subtype="octet-stream", filename="eicar.com")
    return message


def _composed(sender: str, subject: str, text: str) -> EmailMessage:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = sender, BEN, subject
    message["Date"], message["Message-ID"] = formatdate(), make_msgid(domain=sender.rpartition("@")[2])
    message.set_content(text)
    return message


def _endpoint(listen: str, option: str = "") -> tuple[str, int]:
    """Give where a listener is reached; raises CommandFailed."""
    host, _, port = listen.rpartition(":")
    host = host.strip("[]")
    if not host or not (port.isascii() and port.isdigit()) or not 0 < int(port[:6]) < 65_536:
        raise CommandFailed(
            f"{option} {listen!r} is no address with a port; accepted is one like 127.0.0.1:2525.", ExitCode.USAGE
        )
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host), int(port)  # noqa: S104 (never bound)


@contextmanager
def _session(listen: str) -> Iterator[smtplib.SMTP]:
    host, port = _endpoint(listen)
    try:
        with smtplib.SMTP(host, port, local_hostname="demo.sender.example", timeout=SMTP_SECONDS) as smtp:
            yield smtp
    except smtplib.SMTPResponseException as error:
        reply = error.smtp_error.decode(errors="replace") if isinstance(error.smtp_error, bytes) else error.smtp_error
        raise CommandFailed(f"{listen} answered {error.smtp_code} {reply}") from None
    except (OSError, UnicodeError, smtplib.SMTPException) as error:
        raise CommandFailed(
            f"No mail can be sent to {listen}: {error}. Is the cluster running, and is this its address?",
            ExitCode.UNREACHABLE,
        ) from None


def _tls_context(certificate: Path) -> ssl.SSLContext:
    """Trust edge's self-signed certificate where it is; else what the system trusts."""
    return ssl.create_default_context(cafile=str(certificate) if is_there(certificate) else None)


def _transaction(smtp: smtplib.SMTP, reverse_path: str, message: EmailMessage) -> Sent:
    """Give the message, up to the first refusal."""
    smtp.ehlo_or_helo_if_needed()
    code, reply = smtp.mail(reverse_path)
    if code == 250:
        code, reply = smtp.rcpt(BEN)
    if code == 250:
        try:
            code, reply = smtp.data(message.as_bytes(policy=SMTP))
        except smtplib.SMTPDataError as error:  # 354 did not come
            code = error.smtp_code
            reply = error.smtp_error if isinstance(error.smtp_error, bytes) else error.smtp_error.encode()
    return Sent(code, reply.decode(errors="replace"))


def _follow(client: Client, name: str, sent: Sent, *, refused: bool, signature: str = "") -> Outcome:
    """Wait until the tracking knows how the message ended; `signature` is what a check is to have found in it."""
    expected = "refused" if refused else "delivered"
    trace: dict[str, Any] = {}
    give_up_at = time.monotonic() + SETTLED_WITHIN_SECONDS
    while sent.identifier and time.monotonic() < give_up_at:
        try:
            trace = client.get(path("messages", sent.identifier))
        except CommandFailed as failure:
            if failure.code is not ExitCode.NOT_FOUND:
                raise
        # Edge and domains write their facts each by itself, so that the later one may be known first.
        facts = {fact["fact"] for fact in trace.get("events", [])}
        if trace.get("status") in SETTLED and facts & ANSWERED:
            break
        time.sleep(POLL_SECONDS)
    accepted = 200 <= sent.code < 300
    as_expected = trace.get("status") == expected and accepted is not refused and signature in _signatures(trace)
    return Outcome(name, sent, expected, as_expected, trace)


def _signatures(trace: dict[str, Any]) -> str:
    """Join what the checks have found in the content."""
    findings = [finding for fact in trace.get("events", []) for finding in fact["findings"]]
    return " ".join(finding["evidence"].get("signature", "") for finding in findings)


def _show(outcomes: list[Outcome], form: Form) -> None:
    if form is not Form.TABLE:
        structured(
            form,
            [
                {
                    "name": outcome.name,
                    "id": outcome.sent.identifier,
                    "reply": f"{outcome.sent.code} {outcome.sent.reply}",
                    "expected": outcome.expected,
                    "as_expected": outcome.as_expected,
                    "trace": outcome.trace,
                }
                for outcome in outcomes
            ],
        )
        return
    for outcome in outcomes:
        line(f"{outcome.name}: {'as it should be' if outcome.as_expected else 'NOT as it should be'}")
        line(f"  the server said: {outcome.sent.code} {outcome.sent.reply}")
        if outcome.trace:
            for text in timeline(outcome.trace):
                line(f"  {text}" if text else "")
        else:
            line(f"  nothing is known of it after {SETTLED_WITHIN_SECONDS:.0f} s; expected: {outcome.expected}")
        line("")
    line("All as it should be." if all(outcome.as_expected for outcome in outcomes) else "Something is wrong.")
