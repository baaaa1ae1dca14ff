"""Bans in a whole cluster: from the command line to the clients that are turned away."""

import socket
import time

from cluster import Cluster

HEADER = b"PROXY TCP4 192.0.2.55 192.0.2.1 40000 25\r\n"


def connected(cluster: Cluster) -> socket.socket:
    """Connect as 192.0.2.55."""
    client = socket.create_connection(("127.0.0.1", cluster.proxy_port), timeout=10)
    client.sendall(HEADER)
    return client


def test_an_operators_ban_holds_within_a_second_in_open_sessions_until_it_is_lifted(cluster: Cluster) -> None:
    with connected(cluster) as before:
        assert before.recv(4096).startswith(b"220 ")
        banned = cluster.cli_json("ban", "add", "192.0.2.55", "--for", "10m", "--reason", "a test")
        began = time.monotonic()
        while not (reply := _noop(before)).startswith(b"421 4.7.0 192.0.2.55 is banned until"):
            assert reply.startswith(b"250 ")
            assert time.monotonic() - began < 1
    assert reply.endswith(b"because of a test\r\n")
    assert cluster.cli_json("ban", "list") == [banned]
    assert cluster.cli_json("ban", "show", "192.0.2.55") == banned
    with connected(cluster) as client:
        assert client.recv(4096) == reply
    cluster.cli("ban", "lift", "192.0.2.55")
    with connected(cluster) as client:
        assert client.recv(4096).startswith(b"220 ")
    assert cluster.cli_json("ban", "list") == []


def _noop(client: socket.socket) -> bytes:
    client.sendall(b"NOOP\r\n")
    return client.recv(4096)
