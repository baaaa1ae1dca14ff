"""Reading a configuration value: what cannot be read is said, and the last good snapshot stays in force."""

import msgspec
import structlog

from tripost_shared.bus.encoding import decode_json
from tripost_shared.config.port import Snapshot, Watched

log = structlog.get_logger()


def read_into(watched: Watched[Snapshot], key: str, value: bytes) -> bool:
    """Put the JSON value in force; tells whether it could be read. What a listener cannot use is logged too."""
    try:
        snapshot = decode_json(value, type(watched.current))
    except msgspec.DecodeError as error:
        log.warning("configuration cannot be read, the last one stays in force", key=key, because=str(error))
        return False
    try:
        watched.replace(snapshot)
    except Exception:  # a listener of the service; the others' watches must live on
        log.exception("configuration was not taken over by everything that listens", key=key)
    return True
