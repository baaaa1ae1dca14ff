"""The load and the next hop: smtp-source and smtp-sink, the tools that come with Postfix."""

import os
import shutil
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Self

from bench.content import CLIENT_NAME, SENDER
from bench.system import BenchError, free_port, listens, wait_until


def tool(name: str) -> str:
    """Find one of the tools; raises BenchError."""
    path = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")
    if path is None:
        raise BenchError(f"{name} is needed, which comes with Postfix (on Debian: apt install postfix)")
    return path


class Source:
    """Sends one prepared message many times; each in a connection of its own, as mail from many clients comes."""

    def __init__(self, message_file: Path, connections: int) -> None:
        self._command = [tool("smtp-source"), "-4", "-s", str(connections), "-C", "20", "-M", CLIENT_NAME]
        self._command += ["-f", SENDER, "-F", str(message_file)]

    def send(self, port: int, recipient: str, messages: int) -> subprocess.Popen[str]:
        """Begin to send; the process ends when all are accepted, or at the first reply that is not a good one."""
        command = [*self._command, "-t", recipient, "-m", str(messages), f"inet:127.0.0.1:{port}"]
        return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def check_sent(sending: "subprocess.Popen[str]") -> None:
    """See whether all was sent; raises BenchError with the tool's words if it was not, or if it is still at it."""
    if sending.poll() is None:
        raise BenchError("smtp-source did not come to an end")
    if sending.returncode:
        said = sending.stderr.read().strip() if sending.stderr else ""
        raise BenchError(f"smtp-source: {said or f'exit {sending.returncode}'}")


class Sink:
    """A next hop that writes each message it takes to a file of its own."""

    def __init__(self, folder: Path, connections: int) -> None:
        self.folder = folder
        self.folder.mkdir(mode=0o777)
        self.folder.chmod(0o777)  # whatever the umask is: the sink runs as another user
        self.port = free_port()
        as_user = ["-u", "nobody"] if os.geteuid() == 0 else []
        command = [tool("smtp-sink"), "-4", *as_user, "-m", "1000", "-d", str(folder / "m")]
        self._process = subprocess.Popen([*command, f"inet:127.0.0.1:{self.port}", str(max(256, connections))])

    def __enter__(self) -> Self:
        wait_until(lambda: listens(self.port), "smtp-sink listens", 10)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        self._process.wait(10)
