"""A DNS server of a few records, a process of its own: `python -m bench.name_server` with records on standard input.

One record a line: name, type and text as in a zone file. It prints its port. What it does not know is NXDOMAIN, with an
SOA, so that "not listed" can be remembered as long as any other answer (RFC 2308).
"""

import socket
import subprocess
import sys
from collections.abc import Sequence
from typing import Final

import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset

from bench.system import ROOT

TTL_SECONDS: Final = 3600


def serve() -> None:
    """Answer until the process is ended."""
    zone: dict[tuple[dns.name.Name, int], dns.rrset.RRset] = {}
    for line in sys.stdin:
        name, kind, text = line.strip().split(" ", 2)
        rrset = dns.rrset.from_text(dns.name.from_text(name), TTL_SECONDS, "IN", kind, text)
        zone[rrset.name, rrset.rdtype] = rrset
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
        listener.bind(("127.0.0.1", 0))
        print(listener.getsockname()[1], flush=True)
        while True:
            octets, client = listener.recvfrom(4096)
            listener.sendto(_answer(zone, octets), client)


def _answer(zone: dict[tuple[dns.name.Name, int], dns.rrset.RRset], octets: bytes) -> bytes:
    query = dns.message.from_wire(octets)
    response = dns.message.make_response(query, recursion_available=True)
    question = query.question[0]
    found = zone.get((question.name, question.rdtype))
    if found is not None:
        response.answer.append(found)
    else:
        known = any(name == question.name for name, _ in zone)
        response.set_rcode(dns.rcode.NOERROR if known else dns.rcode.NXDOMAIN)
        soa = f"ns.example. hostmaster.example. 1 3600 600 86400 {TTL_SECONDS}"
        response.authority.append(dns.rrset.from_text(dns.name.root, TTL_SECONDS, "IN", "SOA", soa))
    return response.to_wire()


class NameServer:
    """The server's process, as its user sees it."""

    def __init__(self, records: Sequence[tuple[str, str, str]]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.name_server"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        if self._process.stdin is None or self._process.stdout is None:
            raise RuntimeError("the name server has no pipes")
        self._process.stdin.write("".join(f"{name} {kind} {text}\n" for name, kind, text in records))
        self._process.stdin.close()
        self.address = f"127.0.0.1:{int(self._process.stdout.readline())}"

    def stop(self) -> None:
        """End the process."""
        self._process.terminate()
        self._process.wait(10)


if __name__ == "__main__":
    serve()
