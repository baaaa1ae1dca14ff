"""What commands print: tables for people, JSON and YAML for programs; remarks and errors on standard error."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable
from enum import StrEnum
from typing import Annotated, Any

import typer

from tripost_shared.mail.header import is_printable, printable

WIDE = 100_000  # columns: what goes to a file or a pipe is not folded


class Form(StrEnum):
    """How results are printed."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"


Output = Annotated[Form, typer.Option("--output", "-o", help="How to print the result.", show_default=True)]
Column = tuple[str, Callable[[dict[str, Any]], object]]


def rows(form: Form, items: Iterable[dict[str, Any]], columns: Iterable[Column], nothing: str) -> None:
    """Print a list; `nothing` says in words that a table would be empty."""
    if form is not Form.TABLE:
        structured_list(form, items)
    elif shown := list(items):
        table(shown, columns)
    else:
        note(nothing)


def table(items: Iterable[dict[str, Any]], columns: Iterable[Column]) -> None:
    """Print a table."""
    from rich.console import Console  # noqa: PLC0415 (slow to import, and not needed for JSON)
    from rich.table import Table  # noqa: PLC0415 (as above)
    from rich.text import Text  # noqa: PLC0415 (as above)

    columns = list(columns)
    drawn = Table(box=None, pad_edge=False, header_style="bold")
    for title, _ in columns:
        drawn.add_column(title, overflow="fold")
    for item in items:
        drawn.add_row(*(Text(cell(value(item))) for _, value in columns))
    Console(width=None if sys.stdout.isatty() else WIDE, soft_wrap=not sys.stdout.isatty()).print(drawn)


def facts(form: Form, item: dict[str, Any]) -> None:
    """Print one thing, a line for each of its members."""
    if form is not Form.TABLE:
        structured(form, item)
        return
    width = max((len(name) for name in item), default=0) + 2
    for name, value in item.items():
        line(f"{name.replace('_', ' '):<{width}}{cell(value)}")


def done(form: Form, sentence: str, item: dict[str, Any]) -> None:
    """Say what was done, or give the thing it was done to."""
    if form is Form.TABLE:
        line(sentence)
    else:
        structured(form, item)


def structured(form: Form, value: Any) -> None:
    """Print JSON or YAML."""
    typer.echo(as_json(value) if form is Form.JSON else as_yaml(value))


def structured_list(form: Form, items: Iterable[Any]) -> None:
    """Print a JSON or YAML list as its items come, so that a long one is never held as a whole."""
    begun = False
    for item in items:
        if form is Form.YAML:
            typer.echo(as_yaml([item]))
        else:
            inner = as_json(item).replace("\n", "\n  ")
            typer.echo(f"{',' if begun else '['}\n  {inner}", nl=False)
        begun = True
    if not begun:
        typer.echo("[]")
    elif form is Form.JSON:
        typer.echo("\n]")


def as_json(value: Any) -> str:
    """Write JSON in which what a terminal would obey is escaped; other text is readable as it is."""
    return _escaped(json.dumps(value, indent=2, ensure_ascii=False))


def as_yaml(value: Any) -> str:
    """Write YAML likewise: texts that hold such characters are quoted, and these escaped."""
    import yaml  # noqa: PLC0415 (slow to import, and seldom needed)

    class Dumper(yaml.SafeDumper):
        """With its own way to write texts."""

    def text(dumper: yaml.SafeDumper, value: str) -> yaml.Node:
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=None if is_printable(value) else '"')

    Dumper.add_representer(str, text)
    return _escaped(yaml.dump(value, Dumper=Dumper, sort_keys=False, allow_unicode=True).rstrip("\n"))


def _escaped(text: str) -> str:
    """Write what only a quoted text can hold as the escape sequence that JSON and YAML share."""
    if is_printable(text.replace("\n", "")):
        return text
    return "".join(
        character if character == "\n" or is_printable(character) else f"\\u{ord(character):04x}" for character in text
    )


def line(text: str) -> None:
    """Print a line of the result; control characters, which mail may hold, never reach the terminal."""
    typer.echo("\n".join(printable(part) for part in text.split("\n")))


def note(text: str) -> None:
    """Print a remark on standard error."""
    typer.echo(printable(text), err=True)


def cell(value: object) -> str:
    """Show a value in a table or a line."""
    if value is None or value == "":
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(cell(part) for part in value) or "-"
    if isinstance(value, dict):
        return ", ".join(f"{name}={cell(part)}" for name, part in value.items()) or "-"
    return printable(str(value))


def moment(text: str | None) -> str:
    """Show a time of the API to the second, in UTC as it came."""
    return "-" if text is None else text[:19].replace("T", " ")


def column(title: str, name: str) -> Column:
    """Name a column that shows one member."""
    return title, lambda item: item[name]


def time_column(title: str, name: str) -> Column:
    """Name a column that shows a time."""
    return title, lambda item: moment(item[name])
