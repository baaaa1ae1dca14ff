"""`python -m bench.edge`: what edge alone costs, beside aiosmtpd, Haraka and smtp-sink in alternating rounds.

Each server is one process that takes all mail and forgets it: no filter, no spool. Exit code 2 when the measurement
could not be made, which is so too when a client was not served.
"""

import argparse
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

import msgspec
from rich.console import Console

from bench.edge import costs, crowds, servers
from bench.edge.client_process import ClientProcess
from bench.edge.crowds import QUICK, Crowd
from bench.edge.report import Result, print_costs, print_crowds
from bench.edge.servers import EDGE, SERVERS, Server, Surroundings
from bench.system import BenchError, machine
from tripost_shared.certificates import make_self_signed

EXAMINATIONS: Final = ("cpu", "idle", "open", "slow")


def main() -> None:
    """Run the benchmark as the arguments say."""
    arguments = _arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started is stopped
    console = Console(highlight=False, width=max(140, Console().width))
    result = Result()
    try:
        _measure(console, arguments, result)
    except BenchError as error:
        console.print(f"[red]bench:[/] {error}", soft_wrap=True)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
    finally:
        if arguments.json is not None:
            arguments.json.write_bytes(msgspec.json.encode(result.as_json()))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.edge", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="rounds of each server (default: 3)")
    parser.add_argument("--quick", action="store_true", help="one small round of everything, to see that all works")
    parser.add_argument(
        "--only", nargs="+", choices=EXAMINATIONS, default=EXAMINATIONS, help="these parts (default: all)"
    )
    parser.add_argument("--servers", nargs="+", choices=list(SERVERS), default=list(SERVERS), help="default: all")
    parser.add_argument(
        "--pipelining", action="store_true", help="MAIL, RCPT and DATA in one write where it is offered"
    )
    parser.add_argument("--haraka", type=Path, help="folder of `npm install --prefix FOLDER Haraka`")
    parser.add_argument("--json", type=Path, help="write all numbers to this file too")
    return parser.parse_args()


def _measure(console: Console, arguments: argparse.Namespace, result: Result) -> None:
    rounds = 1 if arguments.quick else arguments.rounds
    crowd = QUICK if arguments.quick else Crowd()
    with ExitStack() as stack:
        around = _surroundings(stack, arguments.haraka)
        clients = stack.enter_context(ClientProcess())
        names = [name for name in arguments.servers if not _is_left_out(console, name, around, result)]
        console.print(f"{rounds} rounds of each; {machine()}")
        if "cpu" in arguments.only:
            with _started(names, around) as at_work:
                for load in costs.loads(quick=arguments.quick):
                    result.costs[load] = costs.examine(at_work, clients, load, rounds, pipelining=arguments.pipelining)
            print_costs(console, result.costs)
        if "idle" in arguments.only:
            _measure_idle(names, around, clients, crowd, result)
        if EDGE in names:
            with _started([EDGE], around) as (edge,):
                if "open" in arguments.only:
                    result.served = crowds.open_sessions(edge, clients, crowd.open)
                if "slow" in arguments.only:
                    visitors = stack.enter_context(ClientProcess())
                    result.latencies = crowds.new_session(edge, clients, visitors, crowd, rounds)
        print_crowds(console, result)


def _surroundings(stack: ExitStack, haraka: Path | None) -> Surroundings:
    folder = Path(tempfile.mkdtemp(prefix="tripost-bench-edge-"))
    stack.callback(shutil.rmtree, folder, ignore_errors=True)
    folder.chmod(0o755)  # the servers run as other users when we are root
    certificate, key = folder / "server.crt", folder / "server.key"
    make_self_signed(certificate, key, ["localhost"])
    return Surroundings(folder, certificate, key, haraka)


def _is_left_out(console: Console, name: str, around: Surroundings, result: Result) -> bool:
    reason = servers.why_not(name, around)
    if reason:
        result.left_out[name] = reason
        console.print(f"{name} is left out: {reason}", soft_wrap=True)
    return bool(reason)


def _measure_idle(names: list[str], around: Surroundings, clients: ClientProcess, crowd: Crowd, result: Result) -> None:
    for tls in (False, True):
        for name in names:
            with _started([name], around) as (server,):
                if server.offers_tls or not tls:
                    result.idle.append(crowds.idle_memory(server, clients, crowd.idle, tls=tls))


@contextmanager
def _started(names: list[str], around: Surroundings) -> Iterator[list[Server]]:
    """Have servers run meanwhile."""
    with ExitStack() as stack:
        at_work = []
        for name in names:
            server = servers.start(name, around)
            stack.callback(server.stop)
            at_work.append(server)
        yield at_work


if __name__ == "__main__":
    main()
