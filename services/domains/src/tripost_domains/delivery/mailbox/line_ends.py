"""Line ends in a Maildir: LF, as its readers on Unix expect; SMTP's are CRLF; pure."""


def to_lf(octets: bytes) -> bytes:
    """Give the octets with LF for each CRLF; a CR alone stays."""
    return octets.replace(b"\r\n", b"\n")


class LfLines:
    """The same for octets that come in pieces."""

    def __init__(self) -> None:
        self._held = b""  # a CR whose LF may be in the next piece

    def feed(self, octets: bytes) -> bytes:
        """Give what can be written so far."""
        octets = self._held + octets
        self._held = octets[-1:] if octets.endswith(b"\r") else b""
        return to_lf(octets[: len(octets) - len(self._held)])

    def end(self) -> bytes:
        """Give what was held back."""
        return self._held
