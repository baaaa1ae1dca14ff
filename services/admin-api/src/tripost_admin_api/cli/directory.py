"""`tripost domain`, `mailbox`, `alias` and `grant`."""

from typing import Annotated, Any, Final

import typer

from tripost_admin_api.cli.adding import Force, IfMissing, PasswordStdin, add, left_as_it_is, read_password
from tripost_admin_api.cli.client import Client, connect, path
from tripost_admin_api.cli.failure import CommandFailed, ExitCode
from tripost_admin_api.cli.output import Form, Output, column, done, facts, moment, note, rows, time_column
from tripost_shared.contracts.sasl import WITH_OWN_SECRET, Mechanism

domain = typer.Typer(help="The domains whose mail is taken in.", no_args_is_help=True)
mailbox = typer.Typer(help="The mailboxes of your domains.", no_args_is_help=True)
alias = typer.Typer(help="Addresses that lead to others; *@domain is a domain's catch-all.", no_args_is_help=True)
grant = typer.Typer(help="Foreign addresses that a mailbox may send as.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="Such as local.test.")]
Address = Annotated[str, typer.Argument(help="Such as user@local.test.")]
Targets = Annotated[list[str], typer.Argument(help="Where it leads: one or more addresses.")]
Pattern = Annotated[str, typer.Argument(help="An address, or @domain for all of a domain.")]
ALIASES_NAMED: Final = 10
OfDomain = Annotated[str | None, typer.Option("--domain", help="Of this domain only.")]


@domain.command("list")
def list_domains(context: typer.Context, output: Output = Form.TABLE) -> None:
    """List the domains."""
    columns = [
        column("DOMAIN", "name"),
        column("MAILBOXES", "mailboxes"),
        column("ALIASES", "aliases"),
        time_column("ADDED (UTC)", "created_at"),
    ]
    rows(output, connect(context).all("domains"), columns, "No domains. Add one: tripost domain add local.test")


@domain.command("add")
def add_domain(
    context: typer.Context,
    name: Name,
    if_missing: IfMissing = False,
    force: Annotated[
        bool, typer.Option("--force", help="Also when there is a route for it, which then applies no more.")
    ] = False,
    output: Output = Form.TABLE,
) -> None:
    """Add a domain; refused while there is a route for it."""
    client = connect(context)
    add(
        output,
        f"Domain {name}",
        lambda: client.post("domains", {"name": name}, force=force),
        lambda: client.find(path("domains", name)),
        if_missing=if_missing,
    )


@domain.command("show")
def show_domain(context: typer.Context, name: Name, output: Output = Form.TABLE) -> None:
    """Show a domain."""
    facts(output, connect(context).get(path("domains", name)))


@domain.command("set")
def set_domain(
    context: typer.Context,
    name: Name,
    mechanism: Annotated[
        list[Mechanism] | None,
        typer.Option(
            "--mechanism",
            case_sensitive=False,
            help="Let its mailboxes log in by this one; may be given several times.",
        ),
    ] = None,
    default_mechanisms: Annotated[
        bool, typer.Option("--default-mechanisms", help="Let its mailboxes log in by PLAIN and LOGIN.")
    ] = False,
    output: Output = Form.TABLE,
) -> None:
    """Choose by which mechanisms a domain's mailboxes may log in."""
    if bool(mechanism) is default_mechanisms:
        raise CommandFailed("Give --mechanism (several times for several) or --default-mechanisms.", ExitCode.USAGE)
    chosen = None if default_mechanisms else list(mechanism or [])
    item = connect(context).patch(path("domains", name), {"mechanisms": chosen})
    done(output, f"Mailboxes of {item['name']} may log in by {', '.join(item['mechanisms'])}.", item)
    if set(WITH_OWN_SECRET).intersection(item["mechanisms"]):
        note("For SCRAM and CRAM-MD5 each password must be set once more: tripost mailbox passwd")


@domain.command("remove")
def remove_domain(
    context: typer.Context,
    name: Name,
    with_contents: Annotated[
        bool, typer.Option("--with-contents", help="Its mailboxes and aliases too; mail on disk stays.")
    ] = False,
    force: Force = False,
    output: Output = Form.TABLE,
) -> None:
    """Remove a domain; refused while mail is queued for it."""
    client = connect(context)
    client.delete(path("domains", name), with_contents=with_contents, force=force)
    done(output, f"Domain {name} removed.", {"removed": name})
    _note_aliases_to(client, f"@{name}")


@mailbox.command("list")
def list_mailboxes(context: typer.Context, of_domain: OfDomain = None, output: Output = Form.TABLE) -> None:
    """List the mailboxes."""
    columns = [
        column("MAILBOX", "address"),
        column("ENABLED", "enabled"),
        column("PASSWORD", "has_password"),
        time_column("ADDED (UTC)", "created_at"),
    ]
    items = connect(context).all("mailboxes", domain=of_domain)
    rows(output, items, columns, "No mailboxes. Add one: tripost mailbox add user@local.test")


@mailbox.command("add")
def add_mailbox(
    context: typer.Context,
    address: Address,
    password_stdin: PasswordStdin = False,
    no_password: Annotated[bool, typer.Option("--no-password", help="Takes mail; nobody can log in.")] = False,
    if_missing: IfMissing = False,
    output: Output = Form.TABLE,
) -> None:
    """Add a mailbox; asks for its password."""
    if password_stdin and no_password:
        raise CommandFailed("--password-stdin and --no-password exclude each other; give one of them.", ExitCode.USAGE)
    client = connect(context)
    present = client.find(path("mailboxes", address)) if if_missing else None
    if present is not None:  # before anyone types a password for nothing
        left_as_it_is(output, f"Mailbox {address}", present)
        return
    body: dict[str, Any] = {"address": address}
    if not no_password:
        body["password"] = read_password(address, from_stdin=password_stdin)
    made = add(
        output,
        f"Mailbox {address}",
        lambda: client.post("mailboxes", body),
        lambda: client.find(path("mailboxes", address)),
        if_missing=if_missing,
    )
    if made.get("former_removed_at"):
        note(
            f"A mailbox {address}, or its domain, was removed on {moment(made['former_removed_at'])} UTC. Mail of then "
            "may still be in its folder, which is the new user's now: see docs/operations/removed-mailboxes.md"
        )


@mailbox.command("show")
def show_mailbox(context: typer.Context, address: Address, output: Output = Form.TABLE) -> None:
    """Show a mailbox."""
    facts(output, connect(context).get(path("mailboxes", address)))


@mailbox.command("passwd")
def set_password(
    context: typer.Context,
    address: Address,
    password_stdin: PasswordStdin = False,
    remove: Annotated[
        bool, typer.Option("--remove", help="Remove it: only application passwords let anybody in then.")
    ] = False,
    output: Output = Form.TABLE,
) -> None:
    """Set a mailbox's password."""
    client = connect(context)
    if remove:
        client.delete(path("mailboxes", address, "password"))
        done(output, f"Password of {address} removed.", {"address": address})
        return
    client.get(path("mailboxes", address))  # before anyone types a password for nothing
    client.put(path("mailboxes", address, "password"), {"password": read_password(address, from_stdin=password_stdin)})
    done(output, f"Password of {address} set.", {"address": address})


@mailbox.command("enable")
def enable_mailbox(context: typer.Context, address: Address, output: Output = Form.TABLE) -> None:
    """Let a mailbox take mail and log in again."""
    item = connect(context).patch(path("mailboxes", address), {"enabled": True})
    done(output, f"Mailbox {address} enabled.", item)


@mailbox.command("disable")
def disable_mailbox(context: typer.Context, address: Address, output: Output = Form.TABLE) -> None:
    """Let a mailbox take no mail, and nobody log in."""
    client = connect(context)
    item = client.patch(path("mailboxes", address), {"enabled": False})
    done(output, f"Mailbox {address} disabled.", item)
    _note_aliases_to(client, address)


@mailbox.command("remove")
def remove_mailbox(context: typer.Context, address: Address, force: Force = False, output: Output = Form.TABLE) -> None:
    """Remove a mailbox; its mail stays on disk. Refused while mail is queued for it."""
    client = connect(context)
    client.delete(path("mailboxes", address), force=force)
    done(output, f"Mailbox {address} removed; its mail is still on disk.", {"removed": address})
    _note_aliases_to(client, address)


def _note_aliases_to(client: Client, target: str) -> None:
    """Remark which aliases still lead to what takes no mail any more."""
    aliases = list(client.all("aliases", most=ALIASES_NAMED + 1, target=target))
    if aliases:
        named = ", ".join(alias["address"] for alias in aliases[:ALIASES_NAMED])
        more = " and others" if len(aliases) > ALIASES_NAMED else ""
        note(f"Aliases still lead to {target}: {named}{more}. To change that: tripost alias set, tripost alias remove")


@alias.command("list")
def list_aliases(context: typer.Context, of_domain: OfDomain = None, output: Output = Form.TABLE) -> None:
    """List the aliases."""
    columns = [column("ALIAS", "address"), column("LEADS TO", "targets"), time_column("ADDED (UTC)", "created_at")]
    items = connect(context).all("aliases", domain=of_domain)
    rows(output, items, columns, "No aliases. Add one: tripost alias add info@local.test user@local.test")


@alias.command("add")
def add_alias(
    context: typer.Context,
    address: Address,
    targets: Targets,
    if_missing: IfMissing = False,
    output: Output = Form.TABLE,
) -> None:
    """Add an alias; *@domain is the domain's catch-all."""
    client = connect(context)
    body = {"address": address, "targets": targets}
    add(
        output,
        f"Alias {address}",
        lambda: client.post("aliases", body),
        lambda: client.find(path("aliases", address)),
        if_missing=if_missing,
    )


@alias.command("show")
def show_alias(context: typer.Context, address: Address, output: Output = Form.TABLE) -> None:
    """Show an alias."""
    facts(output, connect(context).get(path("aliases", address)))


@alias.command("set")
def set_alias(context: typer.Context, address: Address, targets: Targets, output: Output = Form.TABLE) -> None:
    """Replace where an alias leads."""
    item = connect(context).put(path("aliases", address), {"targets": targets})
    done(output, f"Alias {address} leads to {', '.join(item['targets'])}.", item)


@alias.command("remove")
def remove_alias(context: typer.Context, address: Address, output: Output = Form.TABLE) -> None:
    """Remove an alias."""
    connect(context).delete(path("aliases", address))
    done(output, f"Alias {address} removed.", {"removed": address})


@grant.command("list")
def list_grants(context: typer.Context, address: Address, output: Output = Form.TABLE) -> None:
    """List what a mailbox may send as, beside its own addresses."""
    columns = [column("MAY SEND AS", "pattern"), time_column("ADDED (UTC)", "created_at")]
    rows(output, connect(context).all(path("mailboxes", address, "grants")), columns, f"{address} has no grants.")


@grant.command("add")
def add_grant(
    context: typer.Context,
    address: Address,
    pattern: Pattern,
    if_missing: IfMissing = False,
    output: Output = Form.TABLE,
) -> None:
    """Let a mailbox send as another address."""
    client = connect(context)
    where = path("mailboxes", address, "grants")
    add(
        output,
        f"Grant {pattern}",
        lambda: client.post(where, {"pattern": pattern}),
        lambda: client.find(path("mailboxes", address, "grants", pattern)),
        if_missing=if_missing,
    )


@grant.command("show")
def show_grant(context: typer.Context, address: Address, pattern: Pattern, output: Output = Form.TABLE) -> None:
    """Show a grant."""
    facts(output, connect(context).get(path("mailboxes", address, "grants", pattern)))


@grant.command("remove")
def remove_grant(context: typer.Context, address: Address, pattern: Pattern, output: Output = Form.TABLE) -> None:
    """Take a grant back."""
    connect(context).delete(path("mailboxes", address, "grants", pattern))
    done(output, f"{address} may no longer send as {pattern}.", {"removed": pattern})
