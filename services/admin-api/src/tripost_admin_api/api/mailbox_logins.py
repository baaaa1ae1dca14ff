"""What a mailbox's user logs in by: the password's hash, and secrets for mechanisms that do not show the password."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from pydantic import SecretStr
from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncSession

from tripost_admin_api.access.passwords import complaint_about
from tripost_admin_api.api import names
from tripost_admin_api.api.parts import Parts
from tripost_admin_api.api.problems import Problem, invalid
from tripost_admin_api.configuration.changes import Change
from tripost_shared.contracts.sasl import DEFAULT_MECHANISMS, WITH_OWN_SECRET, Mechanism
from tripost_shared.database.models import Domain, Mailbox, MailboxSecret


@dataclass(frozen=True, slots=True)
class PreparedLogin:
    """A new password as it is stored, made before the transaction: that takes tens of milliseconds."""

    password_hash: str = field(repr=False)
    secrets: dict[Mechanism, bytes] = field(repr=False)


def mechanisms_of(domain: Domain | None) -> tuple[Mechanism, ...]:
    """Give the mechanisms that a domain's mailboxes may log in by, in their order."""
    if domain is None or domain.mechanisms is None:
        return DEFAULT_MECHANISMS
    return tuple(mechanism for mechanism in Mechanism if mechanism in domain.mechanisms)


async def prepare(parts: Parts, password: SecretStr, address: str) -> PreparedLogin:
    """Make what a new password is stored as. Raises Problem when it is not acceptable."""
    complaint = complaint_about(password.get_secret_value(), address)
    if complaint:
        raise invalid("body.password", complaint)
    password_hash = await parts.passwords.hash(password.get_secret_value())
    async with parts.database.reading() as session:
        name = names.halves(address)[1]
        mechanisms = mechanisms_of(await session.scalar(select(Domain).where(Domain.name == name)))
    secrets = await parts.passwords.secrets(password.get_secret_value(), password_hash, address, mechanisms)
    return PreparedLogin(password_hash, secrets)


async def keep(parts: Parts, change: Change, mailbox: Mailbox, domain: Domain, login: PreparedLogin) -> None:
    """Store a new password in all its forms, in the place of the former one. Raises Problem."""
    needed = [one for one in mechanisms_of(domain) if one in WITH_OWN_SECRET and parts.passwords.makes_secrets]
    if any(mechanism not in login.secrets for mechanism in needed):
        raise Problem(
            "conflict", f"The mechanisms of {domain.name} were changed at this moment; set the password again."
        )
    mailbox.password_hash = login.password_hash
    await change.session.flush()
    await forget_secrets(change.session, mailbox)
    for mechanism in needed:
        sealed = login.secrets[mechanism]
        row = MailboxSecret(mailbox_id=mailbox.id, mechanism=mechanism, sealed=sealed, created_at=change.now)
        change.session.add(row)


async def forget_secrets(session: AsyncSession, mailbox: Mailbox) -> None:
    """Keep nothing of a password but its hash."""
    await session.execute(delete(MailboxSecret).where(MailboxSecret.mailbox_id == mailbox.id))


async def forget_secrets_of_domain(session: AsyncSession, domain: Domain, kept: Collection[str]) -> None:
    """Keep the secrets of these mechanisms alone, in all of a domain's mailboxes."""
    mailboxes = select(Mailbox.id).where(Mailbox.domain_id == domain.id)
    gone = MailboxSecret.mailbox_id.in_(mailboxes), MailboxSecret.mechanism.not_in(kept)
    await session.execute(delete(MailboxSecret).where(*gone))


async def mechanisms_with_secret(session: AsyncSession, mailboxes: Sequence[int]) -> dict[int, list[str]]:
    """Name the mechanisms for which each of these mailboxes has a secret of its own."""
    found: dict[int, list[str]] = {mailbox: [] for mailbox in mailboxes}
    statement = select(MailboxSecret.mailbox_id, MailboxSecret.mechanism).where(MailboxSecret.mailbox_id.in_(mailboxes))
    for mailbox, mechanism in await session.execute(statement.order_by(MailboxSecret.mechanism)):
        found[mailbox].append(mechanism)
    return found
