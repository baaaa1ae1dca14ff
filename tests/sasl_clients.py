"""The client's side of SASL mechanisms, written from the RFCs for tests alone."""

import hashlib
import hmac
from base64 import b64decode, b64encode


class ScramClient:
    """SCRAM (RFC 5802 §3). `gs2` is the header of its first message."""

    def __init__(
        self, hash_name: str, username: str, password: str, *, gs2: str = "n,,", nonce: str = "fyko+d2lbbFgONRv9qkxdawL"
    ) -> None:
        self._hash_name = hash_name
        self._password = password
        self._gs2 = gs2
        self._bare = f"n={username},r={nonce}"
        self._signature = b""

    def first(self) -> bytes:
        """Give the client-first-message."""
        return (self._gs2 + self._bare).encode()

    def final(self, server_first: bytes, *, binding: str | None = None) -> bytes:
        """Give the client-final-message."""
        facts = dict(part.split("=", 1) for part in server_first.decode().split(","))
        salted = hashlib.pbkdf2_hmac(self._hash_name, self._password.encode(), b64decode(facts["s"]), int(facts["i"]))
        client_key = hmac.digest(salted, b"Client Key", self._hash_name)
        bound = b64encode((self._gs2 if binding is None else binding).encode()).decode()
        without_proof = f"c={bound},r={facts['r']}"
        signed = f"{self._bare},{server_first.decode()},{without_proof}".encode()
        stored_key = hashlib.new(self._hash_name, client_key).digest()
        signature = hmac.digest(stored_key, signed, self._hash_name)
        self._signature = hmac.digest(hmac.digest(salted, b"Server Key", self._hash_name), signed, self._hash_name)
        proof = bytes(one ^ other for one, other in zip(client_key, signature, strict=True))
        return f"{without_proof},p={b64encode(proof).decode()}".encode()

    def trusts(self, server_final: bytes) -> bool:
        """Tell whether the server has proved that it knows the password."""
        return server_final == b"v=" + b64encode(self._signature)


def cram_md5(challenge: bytes, username: str, password: str) -> bytes:
    """Give the response (RFC 2195 §2)."""
    return f"{username} {hmac.new(password.encode(), challenge, 'md5').hexdigest()}".encode()
