"""What a mailbox needs beside its password's hash, so that mechanisms which do not show the password work."""

from collections.abc import Collection

from tripost_shared.contracts.sasl import WITH_OWN_SECRET, Mechanism
from tripost_shared.database.password_hashes import prepared
from tripost_shared.logins.scram import HASHES, derive
from tripost_shared.logins.sealing import Binding, LoginKey


def sealed_secrets(
    key: LoginKey, password: str, password_hash: str, address: str, mechanisms: Collection[str]
) -> dict[Mechanism, bytes]:
    """Make the secrets of those of the mechanisms that need one. Takes milliseconds for each: call it in a thread.

    They are good beside this hash alone. CRAM-MD5 needs the password itself.
    """
    return {
        mechanism: key.seal(_secret(mechanism, password), Binding(mechanism, address, password_hash))
        for mechanism in WITH_OWN_SECRET
        if mechanism in mechanisms
    }


def _secret(mechanism: Mechanism, password: str) -> bytes:
    hash_name = HASHES.get(mechanism)
    if hash_name is None:
        return prepared(password).encode("utf-8", "surrogatepass")
    return derive(password, hash_name).to_octets()
