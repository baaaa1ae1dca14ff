"""CRAM-MD5 (RFC 2195): the client hashes its password with our challenge. Weak: MD5, and we must keep the password."""

import hmac
import re
import secrets

from tripost_domains.directory.logins import Logins, name_of
from tripost_domains.sasl.answerer import accepted, challenge, refused
from tripost_domains.sasl.malformed import Malformed
from tripost_domains.sasl.stored import StoredSecrets
from tripost_shared.contracts.sasl import Mechanism, SaslAnswer, SaslQuestion

_CHALLENGE = re.compile(rb"<([0-9a-f]{16})\.[0-9a-f]{32}@[\x21-\x3d\x3f-\x7e]+>")
_RESPONSE = re.compile(rb"([^\0]{1,1024}) ([0-9a-fA-F]{32})")


class CramMd5:
    """The challenge has the form of a Message-ID, and is known again: nothing is kept between the steps."""

    def __init__(self, logins: Logins, stored: StoredSecrets, hostname: str) -> None:
        self._logins = logins
        self._stored = stored
        self._hostname = hostname

    async def answer(self, question: SaslQuestion) -> SaslAnswer:
        """Say what comes next."""
        if not question.exchange:
            return challenge(self._challenge(question, secrets.token_hex(8)))
        if len(question.exchange) != 2:
            raise Malformed("CRAM-MD5 has one challenge")
        made, response = question.exchange
        match, ours = _RESPONSE.fullmatch(response), _CHALLENGE.fullmatch(made)
        if ours is None or not hmac.compare_digest(made, self._challenge(question, ours[1].decode())):
            raise Malformed("the server begins, by a challenge of its own")
        if match is None:
            raise Malformed("no user name and digest")
        try:
            username = match[1].decode()
        except UnicodeDecodeError:
            raise Malformed("the user name is not UTF-8") from None
        return await self._verify(question, username, made, match[2].decode().lower())

    async def _verify(self, question: SaslQuestion, username: str, made: bytes, given: str) -> SaslAnswer:
        login = await self._logins.find(username)
        password = self._stored.open(login, Mechanism.CRAM_MD5)
        nobodys = self._stored.nobodys("password", Mechanism.CRAM_MD5, login, username)
        expected = hmac.new(nobodys if password is None else password, made, "md5").hexdigest()
        matches = hmac.compare_digest(expected, given)
        objection = login.objection(Mechanism.CRAM_MD5)
        if not objection and password is None:
            objection = "the mailbox has no secret for CRAM-MD5: its password must be set again"
        if not objection and not matches:
            objection = "wrong password"
        if objection:
            self._logins.log_refusal(question, objection, login.key)
            return refused(objection, username)
        return accepted(login, name_of((login.record.password_hash if login.record else None) or ""))

    def _challenge(self, question: SaslQuestion, part: str) -> bytes:
        """Make the challenge that begins with this part, in this session."""
        sign = self._stored.key.digest("challenge", question.session_id, part)[:16].hex()
        return f"<{part}.{sign}@{self._hostname}>".encode()
