"""How a command ends: exit codes that scripts may rely on, and errors in plain words."""

from enum import IntEnum


class ExitCode(IntEnum):
    """The codes; documented in docs/reference/cli.md."""

    OK = 0
    FAILED = 1
    USAGE = 2  # wrong arguments, those that the server refuses among them
    NOT_FOUND = 3
    CONFLICT = 4  # it exists already, or is in a state that does not allow this
    UNREACHABLE = 5
    NOT_AUTHORISED = 6
    BROKEN_OFF = 130  # by Ctrl-C; the number is typer's, and shells'


class CommandFailed(Exception):
    """Ends the command; the message goes to standard error and says what to do next."""

    def __init__(self, message: str, code: ExitCode = ExitCode.FAILED) -> None:
        super().__init__(message)
        self.code = code
