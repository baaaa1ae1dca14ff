"""Our reader of DNS messages against dnspython, and against garbage."""

from ipaddress import ip_address

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tripost_shared.dns.names import encoded, normalised
from tripost_shared.dns.port import DnsAnswer, Status
from tripost_shared.dns.wire import Malformed, Query, is_truncated, read

VALUES = {
    "A": st.ip_addresses(v=4).map(str),
    "AAAA": st.ip_addresses(v=6).map(str),
    "TXT": st.text(st.characters(min_codepoint=32, max_codepoint=126, exclude_characters='"\\'), max_size=200).map(
        lambda text: f'"{text}"'
    ),
    "MX": st.tuples(st.integers(0, 65535), st.from_regex(r"[a-z]{1,9}\.[a-z]{2,9}\.", fullmatch=True)).map(
        lambda mx: f"{mx[0]} {mx[1]}"
    ),
    "PTR": st.from_regex(r"[a-z0-9-]{1,20}(\.[a-z]{1,9}){1,3}\.", fullmatch=True),
}
records = st.sampled_from(sorted(VALUES)).flatmap(
    lambda kind: st.tuples(st.just(kind), st.lists(VALUES[kind], min_size=1, max_size=5, unique=True))
)


def response_to(name: str, record_type: str, *answers: dns.rrset.RRset, rcode: int = 0) -> bytes:
    query = dns.message.make_query(name, record_type, use_edns=0)
    response = dns.message.make_response(query)
    response.answer.extend(answers)
    response.set_rcode(dns.rcode.Rcode(rcode))
    wire: bytes = response.to_wire()
    return wire


@given(records, st.integers(0, 2**31 - 1))
def test_records_are_read_as_dnspython_reads_them(record: tuple[str, list[str]], ttl_seconds: int) -> None:
    record_type, values = record
    rrset = dns.rrset.from_text("a.example.", ttl_seconds, "IN", record_type, *values)
    answer = read(Query.of("a.example", record_type), response_to("a.example", record_type, rrset)).answer
    expected = {value.strip('"') if record_type == "TXT" else value.removesuffix(".") for value in values}
    assert answer.status is Status.FOUND
    if record_type == "AAAA":  # of which there are several spellings
        assert set(map(ip_address, answer.records)) == set(map(ip_address, expected))
    else:
        assert set(answer.records) == expected
    assert answer.ttl_seconds == ttl_seconds


@given(st.binary(max_size=200), st.sampled_from(["A", "TXT", "MX", "PTR", "TLSA"]))
def test_garbage_after_the_question_is_an_answer_or_malformed_and_nothing_else(octets: bytes, record_type: str) -> None:
    query = Query.of("a.example", record_type)
    header = b"\x07\x07\x81\x80\0\1" + octets[:6].ljust(6, b"\0")
    try:
        assert isinstance(read(query, header + query.question + octets[6:]).answer, DnsAnswer)
    except Malformed:
        return


@given(st.data())
def test_a_damaged_answer_is_an_answer_or_malformed_and_nothing_else(data: st.DataObject) -> None:
    rrset = dns.rrset.from_text("a.example.", 300, "IN", "MX", "10 mx.a.example.", "20 my.a.example.")
    message = bytearray(response_to("a.example", "MX", rrset))
    for _ in range(data.draw(st.integers(1, 4))):
        message[data.draw(st.integers(12 + 15, len(message) - 1))] = data.draw(st.integers(0, 255))
    octets = bytes(message[: data.draw(st.integers(27, len(message)))])
    try:
        assert isinstance(read(Query.of("a.example", "MX"), octets).answer, DnsAnswer)
    except Malformed:
        return


def test_a_question_is_what_dnspython_reads() -> None:
    message = dns.message.from_wire(Query.of("_dmarc.a.example", "TXT").octets(4711))
    assert (message.id, message.edns, message.payload) == (4711, 0, 1232)
    assert message.flags == dns.flags.RD
    assert message.question[0].to_text() == "_dmarc.a.example. IN TXT"


@pytest.mark.parametrize(
    "message",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(Query.of("a.example", "A").octets(1), id="our own question"),
        pytest.param(response_to("b.example", "A"), id="another name"),
        pytest.param(response_to("a.example", "AAAA"), id="another type"),
        pytest.param(response_to("a.example", "A")[:20], id="cut in the question"),
        pytest.param(b"\0\1\x81\x80" + b"\0" * 8, id="no question, and no error"),
        pytest.param(b"\0\1\x81\x82" + b"\0" * 8, id="no question, and SERVFAIL"),
    ],
)
def test_what_does_not_repeat_the_question_is_no_answer(message: bytes) -> None:
    """RFC 5452 §4.2: forged answers mostly do not."""
    assert not Query.of("a.example", "A").is_answered_by(message)


def test_the_question_may_come_back_in_another_case() -> None:
    message = response_to("A.exAMPLE", "A", dns.rrset.from_text("A.exAMPLE.", 1, "IN", "A", "192.0.2.1"))
    query = Query.of("a.example", "A")
    assert query.is_answered_by(message)
    assert read(query, message).answer.records == ("192.0.2.1",)


def test_names_with_odd_octets_are_escaped() -> None:
    """So that a PTR record can smuggle neither dots nor line ends (RFC 1035 §5.1)."""
    rrset = dns.rrset.from_text("a.example.", 1, "IN", "PTR", r"Evil\.host\010\255.example.")
    answer = read(Query.of("a.example", "PTR"), response_to("a.example", "PTR", rrset)).answer
    assert answer.records == (r"evil\046host\010\255.example",)


def test_records_of_other_names_do_not_count() -> None:
    rrset = dns.rrset.from_text("b.example.", 1, "IN", "A", "192.0.2.1")
    assert read(Query.of("a.example", "A"), response_to("a.example", "A", rrset)).answer.status is Status.NO_DATA


@pytest.mark.parametrize(
    ("authority", "status"),
    [
        pytest.param(["NS ns.example."], Status.FAILED, id="nameservers alone: a referral"),
        pytest.param(["NS ns.example.", "SOA ns.example. a.example. 1 1 1 1 60"], Status.NO_DATA, id="with an SOA"),
        pytest.param([], Status.NO_DATA, id="nothing"),
    ],
)
def test_a_referral_does_not_say_that_there_is_no_data(authority: list[str], status: Status) -> None:
    """RFC 2308 §2.2: a server that does not recurse must not make mail bounce."""
    response = dns.message.make_response(dns.message.make_query("a.example", "A"))
    for text in authority:
        record_type, value = text.split(" ", 1)
        response.authority.append(dns.rrset.from_text("example.", 60, "IN", record_type, value))
    assert read(Query.of("a.example", "A"), response.to_wire()).answer.status is status


def test_a_ttl_with_the_top_bit_counts_as_zero() -> None:
    """RFC 2181 §8."""
    message = bytearray(response_to("a.example", "A", dns.rrset.from_text("a.example.", 1, "IN", "A", "192.0.2.1")))
    start = 12 + len(encoded("a.example")) + 4 + 2 + 4
    message[start : start + 4] = b"\x80\0\0\1"
    assert read(Query.of("a.example", "A"), bytes(message)).answer.ttl_seconds == 0


def test_names_that_point_at_themselves_are_malformed() -> None:
    query = Query.of("a.example", "A")
    header = b"\x07\x07\x81\x80\0\1\0\1\0\0\0\0"
    loop = b"\xc0" + bytes((12 + len(query.question),))
    with pytest.raises(Malformed):
        read(query, header + query.question + loop + b"\0\1\0\1\0\0\0\1\0\4\xc0\0\2\1")


def test_more_records_than_any_look_up_needs_are_malformed() -> None:
    """By TCP there can be thousands, and their names are long if someone wants them to be."""
    query = Query.of("a.example", "A")
    record = b"\xc0\x0c\0\1\0\1\0\0\0\1\0\4\xc0\0\2\1"

    def answer_of(count: int) -> DnsAnswer:
        header = b"\x07\x07\x81\x80\0\1" + count.to_bytes(2) + b"\0\0\0\0"
        return read(query, header + query.question + record * count).answer

    assert answer_of(256).records == ("192.0.2.1",) * 256
    with pytest.raises(Malformed, match="more than 256"):
        answer_of(257)


def test_the_truncated_flag_is_seen() -> None:
    message = bytearray(response_to("a.example", "A"))
    assert not is_truncated(bytes(message))
    message[2] |= 0x02
    assert is_truncated(bytes(message))


@given(st.text(max_size=300))
def test_any_text_is_a_name_that_fits_the_wire_or_none(text: str) -> None:
    name = normalised(text)
    if name is not None:
        assert len(encoded(name)) <= 255
        assert normalised(name) == name
