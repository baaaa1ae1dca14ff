"""The octets of what travels between services: MessagePack by msgspec."""

from functools import cache
from typing import TypeVar

import msgspec

Message = TypeVar("Message", bound=msgspec.Struct)

_encoder = msgspec.msgpack.Encoder()


def encode(message: msgspec.Struct) -> bytes:
    """Give the octets of a message."""
    return _encoder.encode(message)


def decode(octets: bytes, kind: type[Message]) -> Message:
    """Read a message; raises msgspec.DecodeError or its ValidationError."""
    message: Message = _decoder_of(kind).decode(octets)
    return message


@cache  # one entry a message type
def _decoder_of(kind: type[Message]) -> "msgspec.msgpack.Decoder[Message]":
    return msgspec.msgpack.Decoder(kind)
