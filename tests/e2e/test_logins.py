"""Mechanisms and application passwords, from the command line to a session: all of the cluster, and real clients."""

import smtplib
from base64 import b64decode, b64encode
from collections.abc import Iterator

import pytest

from cluster import PASSWORD, Cluster, until
from sasl_clients import ScramClient
from smtp import any_certificate, connect

DOMAIN = "logins.example"
USER = f"user@{DOMAIN}"
SECRETS = {"CRAM-MD5", "SCRAM-SHA-256"}


@pytest.fixture(scope="module")
def with_mechanisms(cluster: Cluster) -> Iterator[Cluster]:
    """The cluster with a domain that allows more; afterwards none does, since mail programs take the strongest."""
    cluster.add_domain(DOMAIN)
    options = (word for name in ("SCRAM-SHA-256", "CRAM-MD5", "PLAIN") for word in ("--mechanism", name))
    cluster.cli("domain", "set", DOMAIN, *options)
    cluster.add_mailbox(USER)
    assert set(cluster.cli_json("mailbox", "show", USER)["secrets"]) == SECRETS
    until(lambda: offered(cluster) >= SECRETS, "they are offered", within=5)
    yield cluster
    cluster.cli("domain", "set", DOMAIN, "--default-mechanisms")
    until(lambda: not offered(cluster) & SECRETS, "they are no longer offered", within=5)


def submitting(cluster: Cluster) -> smtplib.SMTP:
    client = connect(cluster.submission_port)
    client.starttls(context=any_certificate())
    client.ehlo()
    return client


def offered(cluster: Cluster) -> set[str]:
    with submitting(cluster) as client:
        return set(client.esmtp_features["auth"].split())


def test_smtplib_logs_in_by_cram_md5(with_mechanisms: Cluster) -> None:
    """A client that is not ours."""
    with submitting(with_mechanisms) as client:
        client.user, client.password = USER, PASSWORD
        assert client.auth("CRAM-MD5", client.auth_cram_md5)[0] == 235
        assert client.mail(USER)[0] == 250


def test_scram_proves_both_sides(with_mechanisms: Cluster) -> None:
    with submitting(with_mechanisms) as client:
        scram = ScramClient("sha256", USER, PASSWORD)
        _, said = client.docmd(f"AUTH SCRAM-SHA-256 {b64encode(scram.first()).decode()}")
        code, proof = client.docmd(b64encode(scram.final(b64decode(said))).decode())
        assert (code, scram.trusts(b64decode(proof))) == (334, True)
        assert client.docmd("")[0] == 235
        assert client.mail(USER)[0] == 250


def test_a_revoked_application_password_ends_its_session_and_lets_nobody_in(with_mechanisms: Cluster) -> None:
    add = ("mailbox", "app-password", "add", USER)
    phone = with_mechanisms.cli_json(*add, "phone", "--network", "127.0.0.0/8")["password"]
    elsewhere = with_mechanisms.cli_json(*add, "elsewhere", "--network", "192.0.2.0/24")["password"]

    def log_in(client: smtplib.SMTP, password: str) -> tuple[int, str]:
        code, text = client.docmd(f"AUTH PLAIN {b64encode(f'{chr(0)}{USER}{chr(0)}{password}'.encode()).decode()}")
        return code, text.decode()

    with submitting(with_mechanisms) as client, submitting(with_mechanisms) as another:
        code, text = log_in(another, elsewhere)
        assert (code, text.split()[0]) == (535, "5.7.8")
        trace = with_mechanisms.cli("message", "trace", text.rpartition("(")[2].rstrip(")")).stdout
        assert "application password 'elsewhere' is not for this client's network" in " ".join(trace.split())
        assert log_in(client, phone)[0] == 235
        assert client.mail(USER)[0] == 250
        assert client.rset()[0] == 250
        used = "tripost knows when it was used"
        show = ("mailbox", "app-password", "show", USER, "phone")
        until(lambda: with_mechanisms.cli_json(*show)["last_used_at"], used, within=5)
        with_mechanisms.cli("mailbox", "app-password", "remove", USER, "phone")
        until(lambda: _has_ended(client), "the session's login is over", within=2)
        assert log_in(another, phone)[0] == 535


def _has_ended(client: smtplib.SMTP) -> bool:
    code, _ = client.mail(USER)
    if code == 250:
        client.rset()
    return code == 421
