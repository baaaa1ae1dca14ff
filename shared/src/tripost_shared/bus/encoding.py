"""The octets of what travels between services and of what is stored: MessagePack and JSON by msgspec.

Whatever octets come, reading raises msgspec.DecodeError and nothing else. msgspec by itself raises UnicodeDecodeError
for text that is not UTF-8 and RecursionError for what is nested without end: nobody who reads would expect these.
"""

from functools import cache
from typing import TypeVar

import msgspec

Value = TypeVar("Value")

_encoder = msgspec.msgpack.Encoder()


def encode(message: msgspec.Struct) -> bytes:
    """Give the octets of a message."""
    return _encoder.encode(message)


def decode(octets: bytes, kind: type[Value]) -> Value:
    """Read a message; raises msgspec.DecodeError or its ValidationError."""
    try:
        value: Value = _decoder_of(kind).decode(octets)  # type: ignore[arg-type]  # types are hashable
    except (UnicodeDecodeError, RecursionError) as error:
        raise msgspec.DecodeError(str(error)) from error
    return value


def decode_json(octets: bytes | str, kind: type[Value]) -> Value:
    """Read JSON; raises msgspec.DecodeError or its ValidationError."""
    try:
        value: Value = _json_decoder_of(kind).decode(octets)  # type: ignore[arg-type]  # types are hashable
    except (UnicodeError, RecursionError) as error:
        raise msgspec.DecodeError(str(error)) from error
    return value


@cache  # one entry a message type
def _decoder_of(kind: type[Value]) -> "msgspec.msgpack.Decoder[Value]":  # noqa: TID251 (here it is made safe)
    return msgspec.msgpack.Decoder(kind)  # noqa: TID251


@cache
def _json_decoder_of(kind: type[Value]) -> "msgspec.json.Decoder[Value]":  # noqa: TID251
    return msgspec.json.Decoder(kind)  # noqa: TID251
