"""STARTTLS (RFC 3207) and AUTH (RFC 4954) on the submission listeners."""

import asyncio
import ssl
from base64 import b64encode
from collections.abc import Awaitable, Callable

import pytest
import trustme

from contents import read_all
from dialog import Dialog
from edge_world import EdgeWorld
from tripost_shared.contracts.domains import AuthenticateQuestion, MaySendQuestion, RecipientKind
from tripost_shared.contracts.events import Fact
from tripost_shared.contracts.filter import ConnectionQuestion
from tripost_shared.contracts.spool import Direction

Start = Callable[..., Awaitable[EdgeWorld]]
USER = "user@dest.example"


def in_base64(text: str) -> str:
    return b64encode(text.encode()).decode()


GOOD = in_base64(f"\0{USER}\0secret")
WRONG = in_base64(f"\0{USER}\0wrong")


async def test_a_message_of_a_login_goes_out_and_the_password_is_kept_nowhere(
    world: EdgeWorld, submitting: Dialog
) -> None:
    await submitting(f"""C: AUTH PLAIN {GOOD}
                        S: 235 2.7.0 *
                        C: MAIL FROM:<{USER}> AUTH=<>
                        S: 250 2.1.0 *
                        C: RCPT TO:<far@elsewhere.example>
                        S: 250 2.1.5 *
                        C: DATA
                        S: 354 *
                        C: From: {USER}
                        C: .
                        S: 250 2.0.0 *""")
    (message,) = world.spooled
    assert message.direction is Direction.OUTBOUND
    assert message.client.login == USER
    field = message.header_fields.decode().replace("\r\n\t", " ")
    assert "with ESMTPSA (TLSv1.3 " in field
    assert "secret" not in repr(message) + repr(world.log.events) + repr(world.tiers.questions(AuthenticateQuestion))
    assert world.tiers.questions(ConnectionQuestion) == []


@pytest.mark.parametrize(
    "script",
    [
        pytest.param(f"C: AUTH PLAIN {GOOD}\nS: 235 *", id="PLAIN with initial response"),
        pytest.param(f"C: auth plain\nS: 334 *\nC: {GOOD}\nS: 235 *", id="PLAIN without"),
        pytest.param(
            f"C: AUTH PLAIN {in_base64(USER + chr(0) + USER + chr(0) + 'secret')}\nS: 235 *", id="PLAIN for oneself"
        ),
        pytest.param(
            f"C: AUTH LOGIN\nS: 334 VXNlcm5hbWU6\nC: {in_base64(USER)}\nS: 334 UGFzc3dvcmQ6\n"
            f"C: {in_base64('secret')}\nS: 235 *",
            id="LOGIN",
        ),
        pytest.param(
            f"C: AUTH LOGIN {in_base64(USER)}\nS: 334 UGFzc3dvcmQ6\nC: {in_base64('secret')}\nS: 235 *",
            id="LOGIN with initial response",
        ),
        pytest.param(f"C: AUTH PLAIN {GOOD}\nS: 235 *\nC: AUTH PLAIN {GOOD}\nS: 503 5.5.1 *", id="twice"),
        pytest.param(f"C: AUTH PLAIN {WRONG}\nS: 535 5.7.8 *\nC: AUTH PLAIN {GOOD}\nS: 235 *", id="wrong, then right"),
        pytest.param(
            f"C: AUTH PLAIN {in_base64('ann' + chr(0) + USER + chr(0) + 'secret')}\nS: 535 5.7.8 *", id="for another"
        ),
        pytest.param("C: AUTH PLAIN\nS: 334 *\nC: *\nS: 501 5.7.0 *\nC: NOOP\nS: 250 *", id="cancelled"),
        pytest.param("C: AUTH PLAIN =\nS: 501 5.5.2 *", id="empty initial response"),
        pytest.param("C: AUTH PLAIN !!!!\nS: 501 5.5.2 *", id="no base64"),
        pytest.param(f"C: AUTH PLAIN {GOOD}=\nS: 501 5.5.2 *", id="too much padding"),
        pytest.param("C: AUTH PLAIN AGEAYh==\nS: 501 5.5.2 *", id="base64 that is not canonical"),
        pytest.param(f"C: AUTH PLAIN {in_base64('nothing')}\nS: 501 5.5.2 *", id="no parts"),
        pytest.param("C: AUTH CRAM-MD5\nS: 504 5.5.4 *", id="mechanism that is not offered"),
        pytest.param("C: AUTH\nS: 501 5.5.4 *", id="no mechanism"),
        pytest.param("C: MAIL FROM:<>\nS: 530 5.7.0 Authentication required", id="MAIL without AUTH"),
        pytest.param(f"C: AUTH PLAIN {in_base64(chr(0) + 'u' * 8000 + chr(0) + 'p')}\nS: 535 5.7.8 *", id="long"),
        pytest.param(f"C: AUTH PLAIN\nS: 334 *\nC: {'A' * 13_000}\nS: 500 5.5.6 *", id="too long"),
        pytest.param("C: STARTTLS\nS: 503 5.5.1 *", id="STARTTLS again"),
    ],
)
async def test_authentication(submitting: Dialog, script: str) -> None:
    assert await submitting(script)  # the script's own lines say what; there is a last reply


async def test_before_tls_there_is_no_authentication(world: EdgeWorld) -> None:
    async with await world.greeted("submission") as client:
        await client(f"""C: AUTH PLAIN {GOOD}
                        S: 538 5.7.11 *
                        C: MAIL FROM:<>
                        S: 530 5.7.0 Must issue a STARTTLS command first""")
    assert world.tiers.questions(AuthenticateQuestion) == []


async def test_implicit_tls_needs_no_starttls(world: EdgeWorld, client_tls: ssl.SSLContext) -> None:
    async with await world.greeted("submissions", tls=client_tls, implicit_tls=True) as client:
        await client(f"C: AUTH PLAIN {GOOD}\nS: 235 *\nC: QUIT\nS: 221 *\nS: <closed>")
    assert [question.username for question in world.tiers.questions(AuthenticateQuestion)] == [USER]


async def test_the_third_failure_ends_the_session_and_each_takes_longer(
    running: Start, client_tls: ssl.SSLContext
) -> None:
    world = await running(auth_failure_delay_seconds=0.05)
    loop = asyncio.get_running_loop()
    async with await world.greeted("submissions", tls=client_tls, implicit_tls=True) as client:
        began = loop.time()
        await client(f"""C: AUTH PLAIN {WRONG}
                        S: 535 5.7.8 *
                        C: AUTH PLAIN {WRONG}
                        S: 535 5.7.8 *
                        C: AUTH PLAIN {WRONG}
                        S: 421 4.7.0 *
                        S: <closed>""")
    assert loop.time() - began > 0.3  # 1 + 2 + 3 times the delay
    assert [event.stage for event in world.facts(Fact.REFUSED)] == ["auth"] * 3


async def test_without_an_answer_from_domains_it_is_a_temporary_failure(world: EdgeWorld, submitting: Dialog) -> None:
    world.bus.is_connected = False
    await submitting(f"C: AUTH PLAIN {GOOD}\nS: 454 4.7.0 *")
    assert [event.stage for event in world.facts(Fact.REFUSED)] == ["auth"]


async def test_the_reverse_path_must_belong_to_the_login(world: EdgeWorld, submitting: Dialog) -> None:
    await submitting(f"""C: AUTH PLAIN {GOOD}
                        S: 235 *
                        C: MAIL FROM:<boss@dest.example>
                        S: 553 5.7.1 *
                        C: MAIL FROM:<>
                        S: 250 *
                        C: RSET
                        S: 250 *
                        C: MAIL FROM:<{USER}>
                        S: 250 *
                        C: RSET
                        S: 250 *
                        C: MAIL FROM:<{USER}>
                        S: 250 *""")
    asked = [question.reverse_path for question in world.tiers.questions(MaySendQuestion)]
    assert asked == ["boss@dest.example", "", USER]  # what was allowed is remembered


async def test_starttls_forgets_what_was_said_before(world: EdgeWorld, client_tls: ssl.SSLContext) -> None:
    async with await world.greeted(tls=client_tls) as client:
        await client("""C: STARTTLS
                        S: 220 2.0.0 *
                        C: MAIL FROM:<>
                        S: 503 5.5.1 Say EHLO first
                        C: EHLO again.example
                        S: 250 *
                        C: MAIL FROM:<>
                        C: RCPT TO:<ann@dest.example>
                        C: DATA
                        C: .
                        S: 250 *
                        S: 250 *
                        S: 354 *
                        S: 250 *""")
    assert b"from again.example" in world.spooled[0].header_fields
    assert b"with ESMTPS (TLSv1.3" in world.spooled[0].header_fields.replace(b"\r\n\t", b" ")


async def test_octets_behind_starttls_are_never_carried_into_the_encrypted_session(world: EdgeWorld) -> None:
    async with await world.greeted() as client:
        client.send(b"STARTTLS\r\nEHLO evil\r\nMAIL FROM:<evil@b.example>\r\n")
        await client("S: 554 5.5.0 *\nS: <closed>")
    assert world.tiers.asked == world.spooled == []


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_tls_1_2_and_1_3_work(world: EdgeWorld, authority: trustme.CA, version: ssl.TLSVersion) -> None:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    context.minimum_version = context.maximum_version = version
    async with await world.greeted(tls=context) as client:
        await client("C: STARTTLS\nS: 220 *\nC: EHLO c\nS: 250 *")
        assert client.writer.get_extra_info("ssl_object").version() == version.name.replace("_", ".")


async def test_a_failed_handshake_ends_the_session(world: EdgeWorld) -> None:
    async with await world.greeted() as client:
        client.send(b"STARTTLS\r\n")
        await client("S: 220 *")
        client.send(b"EHLO not.tls.example\r\n")
        await client.read_to_end()
    async with asyncio.timeout(5):
        await world.edge.registry.drain()
    assert len(world.edge.registry) == 0


async def test_a_long_message_under_tls_arrives_whole(world: EdgeWorld, submitting: Dialog) -> None:
    world.tiers.kinds["far@elsewhere.example"] = RecipientKind.FOREIGN
    body = b"".join(b"line %d\r\n" % number for number in range(60_000))
    await submitting(f"C: AUTH PLAIN {GOOD}\nS: 235 *\nC: MAIL FROM:<{USER}>\nS: 250 *\nC: RCPT TO:<ann@dest.example>")
    await submitting("S: 250 *\nC: DATA\nS: 354 *")
    submitting.send(b"From: user@dest.example\r\n\r\n" + body + b".\r\n")
    await submitting("S: 250 2.0.0 *")
    (message,) = world.spooled
    assert message.content.stored == message.id
    assert await read_all(world.store, message.content) == b"From: user@dest.example\r\n\r\n" + body


async def test_a_new_session_is_no_new_start_for_whoever_guesses(running: Start, client_tls: ssl.SSLContext) -> None:
    world = await running(auth_failures_per_network=2)
    for guess in ("one", "two"):
        async with await world.greeted("submissions", tls=client_tls, implicit_tls=True) as client:
            await client(f"C: AUTH PLAIN {in_base64(f'{chr(0)}{USER}{chr(0)}{guess}')}\nS: 535 *")
    async with await world.greeted("submissions", tls=client_tls, implicit_tls=True) as client:
        await client(f"C: AUTH PLAIN {GOOD}\nS: 454 4.7.0 Too many failed authentications from your network*")
    async with await world.greeted("submissions", tls=client_tls, implicit_tls=True, source="127.0.0.2") as client:
        await client(f"C: AUTH PLAIN {GOOD}\nS: 235 *")
    assert len(world.tiers.questions(AuthenticateQuestion)) == 3  # who has guessed too often is not asked about
