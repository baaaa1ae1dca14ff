"""`python -m bench`: the product and Postfix do the same work in alternating rounds.

Exit code 1 when a message was lost, doubled, changed or not checked; 2 when the measurement could not be made.
"""

import argparse
import shutil
import signal
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from rich.console import Console

from bench import postfix, report
from bench.load import Sink, Source
from bench.message import SIZE_OCTETS, SignedMessage, sign_a_message
from bench.name_server import NameServer
from bench.rounds import Course, Round, Scenario
from bench.system import BenchError, System, machine, turns
from bench.tripost import Tripost

WARM_UP_MESSAGES: Final = 200


def main() -> None:
    """Run the benchmark as the arguments say."""
    arguments = _arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started is stopped
    console = Console(highlight=False, width=max(100, Console().width))
    try:
        rounds = _measure(console, arguments)
    except BenchError as error:
        console.print(f"[red]bench:[/] {error}", soft_wrap=True)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
    report.print_rates(console, rounds)
    report.print_examinations(console, rounds)
    report.print_costs(console, rounds)
    faults = [f"{one.system}: {fault}" for done in rounds.values() for one in done for fault in one.faults]
    for fault in faults:
        console.print(f"[red]{fault}[/]")
    if faults:
        sys.exit(1)
    console.print("Every message arrived once, as it was sent, and was checked.")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--messages", type=int, default=3000, help="messages in a round (default: 3000)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of each system (default: 3)")
    parser.add_argument("--connections", type=int, default=20, help="connections at a time (default: 20)")
    parser.add_argument("--scenario", type=Scenario, choices=list(Scenario), default=Scenario.MAILDIR)
    parser.add_argument("--alone", action="store_true", help="leave Postfix out")
    return parser.parse_args()


def _measure(console: Console, arguments: argparse.Namespace) -> dict[str, list[Round]]:
    with ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="tripost-bench-"))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        folder.chmod(0o755)  # the services and Postfix run as other users when we are root
        message = sign_a_message()
        (folder / "message").write_bytes(message.content.replace(b"\r\n", b"\n"))
        source = Source(folder / "message", arguments.connections)
        sink = stack.enter_context(Sink(folder / "sink", arguments.connections))
        systems = _start(console, stack, folder, message, sink, alone=arguments.alone)
        _describe(console, arguments, folder)
        course = Course(arguments.scenario, message, source, sink)
        rounds: dict[str, list[Round]] = {system.name: [] for system in systems}
        for system in systems:
            warm_up = course.run(system, WARM_UP_MESSAGES)
            if warm_up.faults:
                return {system.name: [warm_up]}
        for number, system in turns(systems, arguments.rounds):
            done = course.run(system, arguments.messages)
            rounds[system.name].append(done)
            console.print(f"round {number}: {system.name} {done.per_second:.0f}/s", *done.faults)
        return rounds


def _start(
    console: Console, stack: ExitStack, folder: Path, message: SignedMessage, sink: Sink, *, alone: bool
) -> list[System]:
    names = NameServer(message.records)
    stack.callback(names.stop)
    tripost = Tripost(folder / "home", names.address, sink.port)
    stack.callback(tripost.stop)
    why_not = "it was asked for" if alone else postfix.why_not()
    if why_not:
        console.print(f"Postfix is left out: {why_not}.")
        return [tripost]
    (folder / "postfix").mkdir()
    measure = postfix.Postfix(folder / "postfix", sink.port)
    stack.callback(measure.stop)
    return [tripost, measure]


def _describe(console: Console, arguments: argparse.Namespace, folder: Path) -> None:
    ways = {
        Scenario.MAILDIR: "to a Maildir",
        Scenario.RELAY: "relayed to a next hop (smtp-sink)",
    }
    versions = () if postfix.why_not() else (f"Postfix {postfix.version()}",)
    console.print(
        f"{arguments.rounds} rounds of {arguments.messages} messages of {SIZE_OCTETS} octets, {arguments.connections} "
        f"connections at a time, one message each, {ways[arguments.scenario]}.\n"
        "Tripost checks each by SPF, DKIM (one valid RSA signature), two block lists and the greylist (known triplet); "
        "Postfix checks nothing. Both say 250 after an fsync.\n"
        f"{machine(*versions, f'files on {_filesystem(folder)}')}",
        soft_wrap=True,
    )


def _filesystem(folder: Path) -> str:
    mounts = [line.split()[1:3] for line in Path("/proc/mounts").read_text().splitlines()]
    _, kind = max((mount for mount in mounts if folder.is_relative_to(mount[0])), key=lambda mount: len(mount[0]))
    return f"{kind}, where an fsync costs nothing (set TMPDIR to a folder on a disk)" if kind == "tmpfs" else kind


if __name__ == "__main__":
    main()
