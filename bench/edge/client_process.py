"""The process of the clients, as the benchmark sees it."""

import select
import subprocess
import sys
from types import TracebackType
from typing import Final, Self

import msgspec

from bench.edge.orders import WITHIN_SECONDS, Done, Failed, Order
from bench.system import ROOT, BenchError

ANSWER_WITHIN_SECONDS: Final = WITHIN_SECONDS + 5


class ClientProcess:
    """Clients in a process of their own, so that none of their work is taken for the server's."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.edge.client"], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        self._process.communicate()

    def obey(self, order: Order) -> Done:
        """Have an order done. Raises BenchError when it could not be, with the reason."""
        stdin, stdout = self._process.stdin, self._process.stdout
        if stdin is None or stdout is None:
            raise RuntimeError("the clients have no pipes")
        stdin.write(msgspec.json.encode(order) + b"\n")
        stdin.flush()
        if not select.select([stdout], [], [], ANSWER_WITHIN_SECONDS)[0]:
            raise BenchError(f"the clients did not answer: {type(order).__name__}")
        line = stdout.readline()
        if not line:
            raise BenchError(f"the clients have ended: {type(order).__name__}")
        answer = msgspec.json.decode(line, type=Done | Failed)  # noqa: TID251 (our own client's line)
        if isinstance(answer, Failed):
            raise BenchError(answer.because)
        return answer
