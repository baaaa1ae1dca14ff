"""SCRAM-SHA-256 and SCRAM-SHA-1, step by step (RFC 5802, RFC 7677).

Nothing is kept between steps: each is decided from all octets so far, and our own part in them is known again by its
nonce. So any replica answers any step, and nobody can put other words in our mouth.
"""

import hmac
import secrets
from base64 import urlsafe_b64encode

from tripost_domains.directory.logins import Login, Logins, name_of
from tripost_domains.sasl.answerer import accepted, challenge, is_oneself, refused
from tripost_domains.sasl.malformed import Malformed
from tripost_domains.sasl.scram_messages import (
    ClientFinal,
    ClientFirst,
    auth_message,
    client_key,
    is_right,
    nonce_of,
    server_final,
    server_first,
)
from tripost_domains.sasl.stored import StoredSecrets
from tripost_shared.contracts.sasl import Mechanism, SaslAnswer, SaslQuestion
from tripost_shared.logins.scram import HASHES, ITERATIONS, SALT_OCTETS, ScramSecret


class Scram:
    """One of the two mechanisms."""

    def __init__(self, mechanism: Mechanism, logins: Logins, stored: StoredSecrets) -> None:
        self._mechanism = mechanism
        self._hash_name = HASHES[mechanism]
        self._logins = logins
        self._stored = stored

    async def answer(self, question: SaslQuestion) -> SaslAnswer:
        """Say what comes next."""
        exchange = question.exchange
        if not exchange:
            return challenge(b"")  # the client begins
        if exchange[0]:
            raise Malformed("the client has not begun")
        first = ClientFirst.parse(exchange[1])
        login = await self._logins.find(first.username)
        secret, objection = self._secret(login, first)
        if len(exchange) == 2:
            return challenge(server_first(self._new_nonce(question, first), secret), first.username)
        return self._conclude(question, first, login, secret, objection)

    def _conclude(
        self, question: SaslQuestion, first: ClientFirst, login: Login, secret: ScramSecret, objection: str
    ) -> SaslAnswer:
        """Verify the proof; then prove ourselves, and let the client in once it has taken that."""
        exchange = question.exchange
        final = ClientFinal.parse(exchange[3])
        if final.binding != first.gs2.encode() or final.nonce != nonce_of(exchange[2]):
            raise Malformed("not bound to this exchange")
        signed = auth_message(first, exchange[2], final)
        key = client_key(secret, self._hash_name, signed, final.proof)
        is_ours = self._is_our_nonce(question, first, final.nonce) and exchange[2] == server_first(final.nonce, secret)
        if not is_right(secret, self._hash_name, key) or not is_ours:
            objection = objection or "wrong password"
        if objection:
            self._logins.log_refusal(question, objection, login.key)
            return refused(objection, first.username)
        proof = server_final(secret, self._hash_name, signed)
        if len(exchange) == 4:
            return challenge(proof, first.username)
        if exchange[4:] != (proof, b""):
            raise Malformed("nothing may follow the server's proof")
        return accepted(login, name_of((login.record.password_hash if login.record else None) or ""))

    def _secret(self, login: Login, first: ClientFirst) -> tuple[ScramSecret, str]:
        """Give what to verify by, in any case, and what is against the login whatever it proves ("" for nothing)."""
        octets = self._stored.open(login, self._mechanism)
        objection = login.objection(self._mechanism)
        if not objection and octets is None:
            objection = f"the mailbox has no secret for {self._mechanism}: its password must be set again"
        if not objection and not is_oneself(first.authorization, first.username):
            objection = "to act for another identity is not offered"
        nobodys = self._nobodys(login, first.username)
        return (ScramSecret.from_octets(octets, self._hash_name) if octets is not None else nobodys), objection

    def _nobodys(self, login: Login, username: str) -> ScramSecret:
        salt, stored, server = (
            self._stored.nobodys(purpose, self._mechanism, login, username) for purpose in ("salt", "stored", "server")
        )
        size = 20 if self._hash_name == "sha1" else 32
        return ScramSecret(ITERATIONS, salt[:SALT_OCTETS], stored[:size], server[:size])

    def _new_nonce(self, question: SaslQuestion, first: ClientFirst) -> str:
        part = secrets.token_urlsafe(12)
        return first.nonce + part + self._sign(question, first, part)

    def _is_our_nonce(self, question: SaslQuestion, first: ClientFirst, nonce: str) -> bool:
        """Tell whether we have made it, in this session, for what the client has begun with."""
        part = nonce[len(first.nonce) : len(first.nonce) + 16]
        return hmac.compare_digest(nonce.encode(), (first.nonce + part + self._sign(question, first, part)).encode())

    def _sign(self, question: SaslQuestion, first: ClientFirst, part: str) -> str:
        digest = self._stored.key.digest("nonce", self._mechanism, question.session_id, first.bare, part)
        return urlsafe_b64encode(digest[:18]).decode()
