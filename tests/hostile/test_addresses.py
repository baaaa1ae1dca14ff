"""Paths and parameters as no honest client writes them, and addresses that would have us relay."""

import pytest

from probed_edge import ProbedEdge
from probes import After, Probe, probe

MAIL, UTF8 = After.MAIL, After.MAIL_UTF8


def sender(name: str, argument: str | bytes, reply: str) -> object:
    octets = argument.encode() if isinstance(argument, str) else argument
    return probe(name, b"MAIL FROM:" + octets + b"\r\n", reply)


def recipient(name: str, path: str | bytes, reply: str) -> object:
    octets = path.encode() if isinstance(path, str) else path
    return probe(name, b"RCPT TO:" + octets + b"\r\n", reply, after=MAIL)


SENDERS = [
    sender("no brackets", "a@b.example", "501 5.5.4"),
    probe("no colon", b"MAIL FROM <a@b.example>\r\n", "501 5.5.4"),
    probe("no FROM", b"MAIL <a@b.example>\r\n", "501 5.5.4"),
    probe("TO instead of FROM", b"MAIL TO:<a@b.example>\r\n", "501 5.5.4"),
    sender("nothing", "", "501 5.5.4"),
    sender("opening bracket only", "<a@b.example", "501 5.5.4"),
    sender("closing bracket only", "a@b.example>", "501 5.5.4"),
    sender("brackets in brackets", "<<a@b.example>>", "501 5.5.4"),
    sender("two paths", "<a@b.example><c@d.example>", "501 5.5.4"),
    sender("a display name", '"Ann" <a@b.example>', "501 5.5.4"),
    sender("two addresses in one path", "<a@b.example,c@d.example>", "501 5.1.7"),
    sender("no local part", "<@b.example>", "501 5.1.7"),
    sender("no domain", "<a@>", "501 5.1.7"),
    sender("no at sign", "<somebody>", "501 5.1.7"),
    sender("two at signs", "<a@b@c.example>", "501 5.1.7"),
    sender("a dot first", "<.a@b.example>", "501 5.1.7"),
    sender("two dots", "<a..b@c.example>", "501 5.1.7"),
    sender("a dot before the at sign", "<a.@b.example>", "501 5.1.7"),
    sender("an empty label", "<a@b..example>", "501 5.1.7"),
    sender("a trailing dot", "<a@b.example.>", "501 5.1.7"),
    sender("a label with a hyphen first", "<a@-b.example>", "501 5.1.7"),
    sender("a label of 64 octets", f"<a@{'b' * 64}.example>", "501 5.1.7"),
    sender("a blank in the local part", "<a b@c.example>", "501 5.1.7"),
    sender("a blank in the domain", "<a@b .example>", "501 5.1.7"),
    sender("parentheses", "<a(comment)@b.example>", "501 5.1.7"),
    sender("a local part of 65 octets", f"<{'a' * 65}@b.example>", "501 5.1.7"),
    sender("a local part of 64 octets", f"<{'a' * 64}@b.example>", "250 2.1.0"),
    sender("a domain of 256 octets", f"<a@{'b.' * 125}example>", "501 5.1.7"),
    sender("a path of 1,000 octets", f"<{'a.' * 495}@b.example>", "501 5.1.7"),
    sender("a quoted local part", '<"a b"@c.example>', "250 2.1.0"),
    sender("an empty quoted local part", '<""@c.example>', "250 2.1.0"),
    sender("a quote that is never closed", '<"a@b.example>', "501 5.5.4"),
    sender("an escape at the end of a quote", '<"a\\"@b.example>', "501 5.5.4"),
    sender("octets behind a quote", '<"a"b@c.example>', "501 5.1.7"),
    sender("a quote within the local part", '<a"b"@c.example>', "501 5.1.7"),
    sender("a closing bracket in a quote", '<"a>"@b.example>', "250 2.1.0"),
    sender("an address literal", "<a@[192.0.2.1]>", "250 2.1.0"),
    sender("an address literal of IPv6", "<a@[IPv6:2001:db8::1]>", "250 2.1.0"),
    sender("a literal that is no address", "<a@[192.0.2.999]>", "501 5.1.7"),
    sender("a literal without its end", "<a@[192.0.2.1>", "501 5.1.7"),
    sender("a literal with a zone", "<a@[IPv6:fe80::1%eth0]>", "501 5.1.7"),
    sender("a literal with a name", "<a@[mail.example]>", "501 5.1.7"),
    sender("UTF-8 without SMTPUTF8", "<\u00fc@b.example>", "553 5.6.7"),
    sender("UTF-8 with SMTPUTF8", "<\u00fc@b\u00fccher.example> SMTPUTF8", "250 2.1.0"),
    sender("a right-to-left override", "<a\u202eb@c.example> SMTPUTF8", "501 5.1.7"),
    sender("a line separator (LS)", "<a\u2028b@c.example> SMTPUTF8", "501 5.1.7"),
    sender("a next-line control (NEL)", "<a\u0085b@c.example> SMTPUTF8", "501 5.1.7"),
    sender("Latin-1", b"<\xfc@b.example> SMTPUTF8", "500 5.5.2"),
    sender("a full-width at sign", "<a\uff20b.example> SMTPUTF8", "501 5.1.7"),
    sender("TAB in the path", "<a\tb@c.example>", "501 5.1.7"),
    sender("a shell's words in quotes", '<"`reboot`; $(reboot) | x"@b.example>', "250 2.1.0"),
]
PARAMETERS = [
    sender("SIZE that is no number", "<> SIZE=1e9", "501 5.5.4"),
    sender("SIZE below nothing", "<> SIZE=-1", "501 5.5.4"),
    sender("SIZE in other digits", "<> SIZE=\u0661", "501 5.5.4"),
    sender("SIZE of 21 digits", "<> SIZE=000000000000000000001", "501 5.5.4"),
    sender("SIZE of 20 digits", "<> SIZE=99999999999999999999", "552 5.3.4"),
    sender("SIZE without a value", "<> SIZE", "501 5.5.4"),
    sender("SIZE=", "<> SIZE=", "501 5.5.4"),
    sender("SIZE twice", "<> SIZE=1 SIZE=2", "501 5.5.4"),
    sender("BODY that there is not", "<> BODY=BINARYMIME", "501 5.5.4"),
    sender("BODY twice in two spellings", "<> BODY=7BIT body=8BITMIME", "501 5.5.4"),
    sender("SMTPUTF8 with a value", "<> SMTPUTF8=1", "555 5.5.4"),
    sender("a parameter that nobody offered", "<> XOWNED=1", "555 5.5.4"),
    sender("a parameter with no name", "<> =1", "501 5.5.4"),
    sender("a parameter glued to the path", "<>SIZE=1", "501 5.5.4"),
    sender("a no-break space between parameters", "<> SIZE=1\u00a0BODY=7BIT", "501 5.5.4"),
    sender("RET of both kinds", "<> RET=FULL,HDRS", "501 5.5.4"),
    sender("RET twice", "<> RET=FULL RET=HDRS", "501 5.5.4"),
    sender("a line end in ENVID", "<> ENVID=a+0D+0ABcc:x", "501 5.5.4"),
    sender("half a hexadecimal number in ENVID", "<> ENVID=a+4", "501 5.5.4"),
    sender("ENVID of 101 octets", f"<> ENVID={'a' * 101}", "501 5.5.4"),
    sender("ENVID without a value", "<> ENVID=", "501 5.5.4"),
    sender("AUTH from who has not authenticated", "<> AUTH=<>", "555 5.5.4"),
    sender("a hundred parameters", "<> " + " ".join(f"X{n}=1" for n in range(100)), "555 5.5.4"),
]
RECIPIENTS = [
    recipient("the null path", "<>", "501 5.1.3"),
    recipient("postmaster without a domain", "<postmaster>", "250 2.1.5"),
    recipient("postmaster in capitals", "<POSTMASTER>", "250 2.1.5"),
    recipient("another name without a domain", "<ann>", "501 5.1.3"),
    recipient("a source route to us is dropped", "<@far.example:ann@dest.example>", "250 2.1.5"),
    recipient("a source route of two hosts", "<@a.example,@b.example:ann@dest.example>", "250 2.1.5"),
    recipient("a source route without an address", "<@far.example:>", "501 5.1.3"),
    recipient("a domain in capitals", "<ann@DEST.EXAMPLE>", "250 2.1.5"),
    recipient("a mailbox that is off", "<off@dest.example>", "550 5.2.1"),
    recipient("nobody", "<nobody@dest.example>", "550 5.1.1"),
    recipient("a pipe", '<"|/bin/sh -c reboot"@dest.example>', "550 5.1.1"),
    recipient("a file", "</etc/passwd@dest.example>", "550 5.1.1"),
    recipient("a path upwards", '<"../../etc/passwd"@dest.example>', "550 5.1.1"),
    recipient("an include", '<":include:/etc/passwd"@dest.example>', "550 5.1.1"),
    recipient("an option", "<-OQueueDirectory=/tmp@dest.example>", "550 5.1.1"),
    recipient("UTF-8 without SMTPUTF8", "<\u00fc@dest.example>", "553 5.6.7"),
    recipient("a parameter that is not offered", "<ann@dest.example> XRCPT=1", "555 5.5.4"),
    recipient("SIZE, which is none of RCPT", "<ann@dest.example> SIZE=1", "555 5.5.4"),
    recipient("NOTIFY of both kinds", "<ann@dest.example> NOTIFY=NEVER,FAILURE", "501 5.5.4"),
    recipient("NOTIFY twice the same", "<ann@dest.example> NOTIFY=DELAY,DELAY", "501 5.5.4"),
    recipient("NOTIFY of nothing", "<ann@dest.example> NOTIFY=,", "501 5.5.4"),
    recipient("a line end in ORCPT", "<ann@dest.example> ORCPT=rfc822;a+0D+0ABcc:x", "501 5.5.4"),
    recipient("a line end in ORCPT of UTF-8", "<ann@dest.example> ORCPT=utf-8;a\\x{0D}\\x{0A}b", "501 5.5.4"),
    recipient("half of a surrogate pair in ORCPT", "<ann@dest.example> ORCPT=utf-8;a\\x{D800}", "501 5.5.4"),
    recipient("a number beyond Unicode in ORCPT", "<ann@dest.example> ORCPT=utf-8;a\\x{110000}", "501 5.5.4"),
    recipient("ORCPT without a type", "<ann@dest.example> ORCPT=ann@dest.example", "501 5.5.4"),
    recipient("ORCPT of 600 octets", f"<ann@dest.example> ORCPT=rfc822;{'a' * 600}", "501 5.5.4"),
    recipient("two recipients in one command", "<ann@dest.example>,<bob@dest.example>", "501 5.5.4"),
    recipient("CRLF in it, written as text", "<ann\\r\\n@dest.example>", "501 5.1.3"),
    probe("zero-width letters", "RCPT TO:<an\u200bn@dest.example>\r\n".encode(), "550 5.1.1", after=UTF8),
    probe("a look-alike of a name", "RCPT TO:<\u0430nn@dest.example>\r\n".encode(), "550 5.1.1", after=UTF8),
]
RELAYED = [
    recipient("a foreign address", "<x@far.example>", "550 5.7.1"),
    recipient("percent hack through us", "<x%far.example@dest.example>", "550"),
    recipient("percent hack through our name", "<x%far.example@mx.tripost.example>", "550"),
    recipient("percent hack through our address", "<x%far.example@[127.0.0.1]>", "550"),
    recipient("percent hack through a relayed domain", "<x%far.example@relayed.example>", "550 5.7.1"),
    recipient("percent hack, twice", "<x%far.example%dest.example@dest.example>", "550"),
    recipient("percent hack without a domain", "<x%far.example>", "501 5.1.3"),
    recipient("bang path through us", "<far.example!x@dest.example>", "550"),
    recipient("bang path alone", "<far.example!x>", "501 5.1.3"),
    recipient("bang path through a relayed domain", "<far.example!x@relayed.example>", "550 5.7.1"),
    recipient("two at signs", "<x@far.example@dest.example>", "501 5.1.3"),
    recipient("quoted address at us", '<"x@far.example"@dest.example>', "550"),
    recipient("quoted address at a relayed domain", '<"x@far.example"@relayed.example>', "550 5.7.1"),
    recipient("quoted percent hack at a relayed domain", '<"x%far.example"@relayed.example>', "550 5.7.1"),
    recipient("escaped at sign", '<"x\\@far.example"@dest.example>', "550"),
    recipient("quotes in quotes", '<"\\"x@far.example\\"@dest.example"@dest.example>', "550"),
    recipient("the whole address in quotes", '<"x@far.example">', "501 5.1.3"),
    recipient("our address quoted at theirs", '<"ann@dest.example"@far.example>', "550 5.7.1"),
    recipient("source route through us", "<@dest.example:x@far.example>", "550 5.7.1"),
    recipient("source route through us, twice", "<@dest.example,@mx.tripost.example:x@far.example>", "550 5.7.1"),
    recipient("source route with a percent hack", "<@dest.example:x%far.example@dest.example>", "550"),
    recipient("a literal of another host", "<x@[192.0.2.1]>", "550 5.7.1"),
    recipient("a literal of loopback", "<x@[127.0.0.1]>", "550 5.7.1"),
    recipient("a literal of loopback (IPv6)", "<x@[IPv6:::1]>", "550 5.7.1"),
    recipient("a literal in decimal", "<x@[2130706433]>", "501 5.1.3"),
    recipient("a host number", "<x@#2130706433>", "501 5.1.3"),
    recipient("localhost", "<root@localhost>", "550 5.7.1"),
    recipient("a trailing dot", "<x@far.example.>", "501 5.1.3"),
    recipient("a trailing dot on our domain", "<ann@dest.example.>", "501 5.1.3"),
    recipient("our domain as a suffix", "<x@notdest.example>", "550 5.7.1"),
    recipient("a domain below ours", "<ann@x.dest.example>", "550 5.7.1"),
    recipient("our domain as a prefix", "<ann@dest.example.far.example>", "550 5.7.1"),
    recipient("our domain behind NUL", b"<x@far.example\0.dest.example>", "500 5.5.2"),
    recipient("our domain behind a blank", "<x@far.example .dest.example>", "501 5.1.3"),
    recipient("a port", "<x@far.example:25>", "501 5.1.3"),
    *(
        probe(f"{name} at a relayed domain", f"RCPT TO:<{path}@relayed.example>\r\n".encode(), "550 5.7.1", after=UTF8)
        for name, path in (
            ("full-width percent sign", "x\uff05far.example"),
            ("small percent sign", "x\ufe6afar.example"),
            ("full-width at sign", "x\uff20far.example"),
            ("full-width exclamation mark", "far.example\uff01x"),
        )
    ),
    probe("a look-alike of our domain", "RCPT TO:<ann@d\u0435st.example>\r\n".encode(), "550 5.7.1", after=UTF8),
    probe("our domain full-width is ours", "RCPT TO:<ann@\uff44est.example>\r\n".encode(), "250 2.1.5", after=UTF8),
    probe("an ideographic full stop at its end", "RCPT TO:<x@far.example\u3002>\r\n".encode(), "501 5.1.3", after=UTF8),
]


@pytest.mark.parametrize("attack", SENDERS)
def test_reverse_paths(edge: ProbedEdge, attack: Probe) -> None:
    assert len(attack.run(edge)) == attack.spooled


@pytest.mark.parametrize("attack", PARAMETERS)
def test_parameters(edge: ProbedEdge, attack: Probe) -> None:
    assert len(attack.run(edge)) == attack.spooled


@pytest.mark.parametrize("attack", RECIPIENTS)
def test_recipients(edge: ProbedEdge, attack: Probe) -> None:
    assert len(attack.run(edge)) == attack.spooled


@pytest.mark.parametrize("attack", RELAYED)
def test_nobody_relays(edge: ProbedEdge, attack: Probe) -> None:
    assert len(attack.run(edge)) == attack.spooled
