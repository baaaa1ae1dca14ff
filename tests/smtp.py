"""A mail client for tests: what a person would do with smtplib, in a line each."""

import smtplib
import ssl
import uuid
from collections.abc import Sequence
from email.message import EmailMessage
from email.policy import SMTP
from typing import Final

WITHIN_SECONDS: Final = 30.0
SENDER: Final = "ann@remote.example"


def a_mail(sender: str = SENDER, recipient: str = "bob@local.example", subject: str = "hello") -> EmailMessage:
    """Compose a message with its own Message-ID."""
    message = EmailMessage()
    message["From"] = sender
    message["To"] = recipient
    message["Subject"] = subject
    message["Date"] = "Thu, 01 Jan 2026 12:00:00 +0000"
    message["Message-ID"] = f"<{uuid.uuid4()}@remote.example>"
    message.set_content("Is anybody there?\n.\nA line with a dot before.\n")
    return message


def connect(port: int) -> smtplib.SMTP:
    """Connect and say EHLO."""
    client = smtplib.SMTP("127.0.0.1", port, "client.remote.example", WITHIN_SECONDS)
    client.ehlo()
    return client


def send(port: int, recipient: str, *, sender: str = SENDER) -> str:
    """Send a message as another server would; gives the reply to its content."""
    with connect(port) as client:
        return transaction(client, sender, [recipient], a_mail(sender or SENDER, recipient).as_bytes(policy=SMTP))


def submit(port: int, login: str, password: str, recipient: str, *, subject: str = "hello") -> str:
    """Send a message as a mail program would: STARTTLS, AUTH; gives the reply to its content."""
    with connect(port) as client:
        client.starttls(context=any_certificate())
        client.ehlo()
        client.login(login, password)
        return transaction(client, login, [recipient], a_mail(login, recipient, subject).as_bytes(policy=SMTP))


def transaction(client: smtplib.SMTP, sender: str, recipients: Sequence[str], message: bytes) -> str:
    """Run a transaction up to the reply that ends it, the first refusal or the reply to the content."""
    code, text = client.mail(sender)
    if code == 250:
        for recipient in recipients:
            code, text = client.rcpt(recipient)
            if code != 250:
                break
        else:
            code, text = client.data(message)
    return f"{code} {text.decode()}"


def any_certificate() -> ssl.SSLContext:
    """Take the cluster's self-signed certificate."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
