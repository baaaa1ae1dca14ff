"""The envelope of a message (RFC 5321 §2.3.1, RFC 3461 for the DSN parameters)."""

import msgspec


class Recipient(msgspec.Struct, frozen=True, omit_defaults=True):
    """One recipient as the client gave it.

    `notify` holds RFC 3461 §4.1 keywords in upper case; empty means the default. `original` is ORCPT without its xtext
    encoding ("rfc822;ann@dest.example"), or "". `redirected_to`: where a rule sends it instead, "" for nowhere.
    `held_because`: why it waits for an operator, in words; "" where it does not.
    """

    address: str
    notify: tuple[str, ...] = ()
    original: str = ""
    redirected_to: str = ""
    held_because: str = ""


class Envelope(msgspec.Struct, frozen=True, omit_defaults=True):
    """Who sends to whom. `reverse_path` is "" for the null one.

    `eight_bit`: the content has octets above 127, whether or not the client had declared it (RFC 6152); of mail spooled
    by a release that did not look, it is what the client declared. `envid` is ENVID without its xtext encoding (RFC
    3461 §4.4), `ret` is RET in upper case (§4.3); or "".
    """

    reverse_path: str
    recipients: tuple[Recipient, ...]
    smtputf8: bool = False
    eight_bit: bool = False
    envid: str = ""
    ret: str = ""
