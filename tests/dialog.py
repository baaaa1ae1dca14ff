"""SMTP dialogs as tests write them: what the client says, and what the server must answer.

    await dialog('''C: MAIL FROM:<>
                    S: 250 2.1.0 *
                    C: RCPT TO:<nobody@dest.example>
                    S: 550 5.1.1 *''')

A `C:` line is sent with CRLF; several in a row go out in one write. An `S:` line is a pattern (`*` for anything) for
the next reply line; one that begins with a code and a space passes over the lines of a longer reply before it.
`S: <closed>` wants the end of the connection. After STARTTLS and its 220 the handshake is done.
"""

import asyncio
import ssl
from fnmatch import fnmatchcase
from types import TracebackType
from typing import Final

WITHIN_SECONDS: Final = 10.0


class Dialog:
    """A client's connection to an SMTP server."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, tls: ssl.SSLContext | None, name: str
    ) -> None:
        self.reader = reader
        self.writer = writer
        self._tls = tls
        self._name = name

    @classmethod
    async def open(
        cls,
        address: tuple[str, int],
        *,
        tls: ssl.SSLContext | None = None,
        implicit_tls: bool = False,
        name: str = "mx.tripost.example",
        source: str = "127.0.0.1",
    ) -> "Dialog":
        """Connect; `tls` is the client's context, `name` the host name that the certificate must have."""
        reader, writer = await asyncio.open_connection(
            *address,
            local_addr=(source, 0) if source != "127.0.0.1" else None,
            ssl=tls if implicit_tls else None,
            server_hostname=name if implicit_tls else None,
        )
        return cls(reader, writer, tls=tls, name=name)

    async def __aenter__(self) -> "Dialog":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.writer.close()

    async def __call__(self, script: str) -> str:
        """Play a script; gives the last reply line. Fails where the server says something else."""
        said: list[str] = []
        reply = ""
        for line in filter(None, map(str.strip, script.splitlines())):
            speaker, _, text = line.partition(":")
            text = text.strip()
            if speaker == "C":
                said.append(text)
                continue
            assert speaker == "S", f"neither C: nor S: {line!r}"
            if said:
                self.send("".join(f"{command}\r\n" for command in said).encode())
            reply = await self._expect(text, after=said)
            if said and said[-1].upper() == "STARTTLS" and reply.startswith("220"):
                async with asyncio.timeout(10):
                    await self.writer.start_tls(self._client_tls(), server_hostname=self._name)
            said = []
        if said:
            self.send("".join(f"{command}\r\n" for command in said).encode())
        return reply

    def send(self, octets: bytes) -> None:
        """Send octets as they are."""
        self.writer.write(octets)

    async def read_line(self) -> str:
        """Give the next reply line without its CRLF; "" when the server has closed."""
        async with asyncio.timeout(WITHIN_SECONDS):
            line = await self.reader.readline()
        return line.decode().removesuffix("\r\n")

    async def read_reply(self) -> str:
        """Give the last line of the next reply."""
        while (line := await self.read_line())[3:4] == "-":
            pass
        return line

    async def read_to_end(self) -> bytes:
        """Give all that the server still says until it closes."""
        try:
            async with asyncio.timeout(WITHIN_SECONDS):
                return await self.reader.read()
        except ConnectionResetError:
            return b""

    async def _expect(self, pattern: str, *, after: list[str]) -> str:
        if pattern == "<closed>":
            rest = await self.read_to_end()
            assert rest == b"", f"after {after}: not closed but {rest!r}"
            return ""
        line = await self.read_line()
        while pattern[3:4] == " " and line[3:4] == "-":
            line = await self.read_line()
        assert fnmatchcase(line, pattern), f"after {after}: {line!r} is not {pattern!r}"
        return line

    def _client_tls(self) -> ssl.SSLContext:
        assert self._tls is not None, "STARTTLS needs a context"
        return self._tls
