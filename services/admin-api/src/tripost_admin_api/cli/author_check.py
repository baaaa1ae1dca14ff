"""`tripost author-check`: whether a login may write only as authors that it may send as."""

import typer

from tripost_admin_api.cli.client import connect
from tripost_admin_api.cli.output import Form, Output, done, facts

author_check = typer.Typer(
    help="Whether logins may write (From field) only as addresses that they may send as.", no_args_is_help=True
)


@author_check.command("show")
def show_author_check(context: typer.Context, output: Output = Form.TABLE) -> None:
    """Show whether authors are checked."""
    facts(output, connect(context).get("author-check"))


@author_check.command("on")
def check_authors(context: typer.Context, output: Output = Form.TABLE) -> None:
    """Refuse mail of a login with an author that it may not send as."""
    changed = connect(context).put("author-check", {"enabled": True})
    done(output, "Authors are checked: logins write as those that they may send as.", changed or {"enabled": True})


@author_check.command("off")
def check_no_authors(context: typer.Context, output: Output = Form.TABLE) -> None:
    """Let every login write as anybody."""
    changed = connect(context).put("author-check", {"enabled": False})
    done(output, "Authors are not checked: logins write as anybody.", changed or {"enabled": False})
