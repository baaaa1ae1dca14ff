"""A message's content: its octets, carried along or by reference."""

import msgspec


class Content(msgspec.Struct, frozen=True, omit_defaults=True):
    """The octets of a message as received (header, empty line, body; CRLF line ends; no dot-stuffing).

    Exactly one of the two is given: `inline`, or `stored`, the name of an object in the content store.
    """

    size_octets: int
    inline: bytes | None = None
    stored: str = ""

    @staticmethod
    def of(octets: bytes) -> "Content":
        """Carry the octets along."""
        return Content(size_octets=len(octets), inline=octets)
