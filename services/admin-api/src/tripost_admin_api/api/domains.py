"""The domains of ours."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from pydantic import Field
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from tripost_admin_api.api import names, paging
from tripost_admin_api.api.former import REMOVED_DOMAIN
from tripost_admin_api.api.mailbox_logins import forget_secrets_of_domain, mechanisms_of
from tripost_admin_api.api.models import Incoming, MailDomain, Outgoing, Page
from tripost_admin_api.api.parts import ActorNeeded, PartsNeeded
from tripost_admin_api.api.problems import Problem, invalid
from tripost_admin_api.api.queued_for import Force, refuse_while_queued_for_domain
from tripost_shared.contracts.sasl import WITH_OWN_SECRET, Mechanism
from tripost_shared.database.models import Alias, Domain, Mailbox, Route

router = APIRouter(prefix="/domains", tags=["domains"])

DespiteRoute = Annotated[bool, Query(description="Also when there is a route for it, which then applies no more.")]


Mechanisms = Annotated[
    list[Mechanism] | None,
    Field(
        min_length=1,
        max_length=len(Mechanism),
        description="SASL mechanisms by which its mailboxes may log in; null: PLAIN and LOGIN. For SCRAM and CRAM-MD5 "
        "each password must be set once more afterwards.",
    ),
]


class DomainIn(Incoming):
    """A domain to add."""

    name: MailDomain
    mechanisms: Mechanisms = None


class DomainPatch(Incoming):
    """What to change."""

    mechanisms: Mechanisms


class DomainOut(Outgoing):
    """A domain of ours; its name in lower-case A-labels."""

    name: str
    mechanisms: list[str]
    mailboxes: int
    aliases: int
    created_at: datetime


_MAILBOXES = select(func.count()).where(Mailbox.domain_id == Domain.id).correlate(Domain).scalar_subquery()
_ALIASES = select(func.count()).where(Alias.domain_id == Domain.id).correlate(Domain).scalar_subquery()


@router.get("")
async def list_domains(parts: PartsNeeded, query: paging.Listing) -> Page[DomainOut]:
    """List the domains by name."""
    after = paging.decode(query.cursor, tuple[str])
    statement = select(Domain, _MAILBOXES, _ALIASES).order_by(Domain.name).limit(query.limit + 1)
    if after is not None:
        statement = statement.where(Domain.name > after[0])
    async with parts.database.reading() as session:
        rows = [_shown(*row) for row in await session.execute(statement)]
    items, following = paging.part(rows, query.limit, lambda row: [row.name])
    return Page(items=list(items), next_cursor=following)


@router.post("", status_code=201)
async def add_domain(
    body: DomainIn, parts: PartsNeeded, actor: ActorNeeded, response: Response, *, force: DespiteRoute = False
) -> DomainOut:
    """Add a domain: from now on its mail is taken in, for the mailboxes and aliases that it has.

    One whose mail a route of just its name takes elsewhere until now is added only by `force`.
    """
    async with parts.changing(actor) as change:
        if await domain_of_ours(change.session, body.name) is not None:
            raise Problem("conflict", f"The domain {body.name} exists already.")
        if not force:
            await _refuse_while_routed(change.session, body.name)
        row = Domain(name=body.name, mechanisms=_chosen(parts, body.mechanisms), created_at=change.now)
        change.session.add(row)
        await change.touch_directory()
        change.note("domain.create", body.name, after=_audited(row))
    response.headers["Location"] = f"/api/v1/domains/{body.name}"
    return _shown(row, 0, 0)


@router.get("/{name}")
async def show_domain(name: str, parts: PartsNeeded) -> DomainOut:
    """Show a domain."""
    async with parts.database.reading() as session:
        return _shown(*await _found(session, name))


@router.patch("/{name}")
async def change_domain(name: str, body: DomainPatch, parts: PartsNeeded, actor: ActorNeeded) -> DomainOut:
    """Choose by which mechanisms a domain's mailboxes may log in. Secrets for those that end are removed."""
    async with parts.changing(actor) as change:
        row, mailboxes, aliases = await _found(change.session, name)
        before = _audited(row)
        row.mechanisms = _chosen(parts, body.mechanisms)
        await forget_secrets_of_domain(change.session, row, mechanisms_of(row))
        await change.touch_directory()
        change.note("domain.update", row.name, before, _audited(row))
    return _shown(row, mailboxes, aliases)


@router.delete("/{name}", status_code=204)
async def remove_domain(
    name: str, parts: PartsNeeded, actor: ActorNeeded, *, with_contents: bool = False, force: Force = False
) -> None:
    """Remove a domain; one with mailboxes or aliases only `with_contents`. The mail in its mailboxes stays on disk.

    One for which mail is queued is removed only by `force`.
    """
    async with parts.changing(actor) as change:
        row, mailboxes, aliases = await _found(change.session, name)
        if (mailboxes or aliases) and not with_contents:
            raise Problem(
                "conflict",
                f"{row.name} still has mailboxes ({mailboxes}) or aliases ({aliases}); remove them first, or all at "
                "once: with_contents=true, on the command line --with-contents.",
            )
        if not force:
            await refuse_while_queued_for_domain(change.session, row.name)
        await change.session.delete(row)
        await change.touch_directory()
        before = {"name": row.name, "mailboxes": mailboxes, "aliases": aliases}
        change.note(REMOVED_DOMAIN, row.name, before=before)


def _chosen(parts: PartsNeeded, mechanisms: list[Mechanism] | None) -> list[str] | None:
    """Give what is stored. Raises Problem for mechanisms whose secrets could not be sealed."""
    if mechanisms is None:
        return None
    keyless = [one.value for one in WITH_OWN_SECRET if one in mechanisms and not parts.passwords.makes_secrets]
    if keyless:
        raise invalid("body.mechanisms", f"{', '.join(keyless)}: off, since TRIPOST_DATABASE_KEY_FILE is not set")
    return [one.value for one in Mechanism if one in mechanisms]


def _audited(row: Domain) -> dict[str, Any]:
    return {"name": row.name, "mechanisms": list(mechanisms_of(row))}


async def _refuse_while_routed(session: AsyncSession, name: str) -> None:
    """Raise Problem when a route for exactly this name leads its mail elsewhere, which a domain of ours would end."""
    if await session.scalar(select(Route.id).where(Route.domain == name)) is not None:
        raise Problem(
            "conflict",
            f"There is a route for {name}, which would apply no more: mail for it, queued mail too, would go to the "
            f"mailboxes and aliases that {name} has, and be refused for all others. Remove the route, or add the "
            "domain all the same: force=true, on the command line --force.",
        )


async def domain_of_ours(session: AsyncSession, name: str) -> Domain | None:
    """Give the domain's row; None when it is not ours."""
    row: Domain | None = await session.scalar(select(Domain).where(Domain.name == name))
    return row


async def _found(session: AsyncSession, name: str) -> tuple[Domain, int, int]:
    try:
        wanted = names.domain(name)
    except ValueError as error:
        raise Problem("not-found", str(error)) from None
    row = (await session.execute(select(Domain, _MAILBOXES, _ALIASES).where(Domain.name == wanted))).first()
    if row is None:
        raise Problem("not-found", f"There is no domain {wanted}.")
    return row[0], row[1], row[2]


def _shown(row: Domain, mailboxes: int, aliases: int) -> DomainOut:
    return DomainOut(
        name=row.name,
        mechanisms=list(mechanisms_of(row)),
        mailboxes=mailboxes,
        aliases=aliases,
        created_at=row.created_at,
    )
