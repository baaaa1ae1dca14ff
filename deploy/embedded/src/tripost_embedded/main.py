"""`tripost-cluster`: runs the whole cluster on this machine in the foreground, until Ctrl-C.

Started as root it gives root up as far as it can: every service becomes the run user, all state belongs to that user,
and this process acts as that user too, but for starting services. Exit codes: 0 stopped, 1 something broke, 2 a setting
is wrong or a port is in use.
"""

import asyncio
import contextlib
import os
import signal
import sys
from typing import Final, NoReturn

from pydantic import ValidationError

from tripost_embedded import ports
from tripost_embedded.banner import ready_text, shared_user_notice, state_notice, unknown_notice, unreachable_notice
from tripost_embedded.code import Code, find_code
from tripost_embedded.disk_watch import DiskWatch
from tripost_embedded.environment import known_only
from tripost_embedded.home import Home, explained, hold, make_folders, open_home
from tripost_embedded.launch import reach_through_descriptors
from tripost_embedded.output import LogFile, ServiceLog, event_line
from tripost_embedded.plans import NATS, Cluster, make_plans, nats_program
from tripost_embedded.settings import ClusterSettings
from tripost_embedded.supervisor import Keeper, Say, Supervisor
from tripost_embedded.terminal import Terminal
from tripost_shared.endings import WRONG_SETTING
from tripost_shared.privileges import RunUser, act_as, acting_as
from tripost_shared.settings import CommonSettings, SettingsError, explain
from tripost_shared.unknown_settings import unknown_settings

STOP_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def main() -> None:
    """Run the cluster; the process' exit code tells how it went."""
    for name, nearest in unknown_settings(os.environ).items():  # first: it may be why something else is refused
        _tell(unknown_notice(name, nearest))
    try:
        common, settings = CommonSettings(), ClusterSettings()
        cluster = _prepare(common, settings)
        status = asyncio.run(_run(cluster, settings.log_megabytes << 20))
    except ValidationError as error:
        _refuse(explain(error))
    except SettingsError as error:
        _refuse(str(error))
    sys.exit(status)


def _prepare(common: CommonSettings, settings: ClusterSettings) -> Cluster:
    """Do all that needs root, when started as root, and look whether the cluster can run at all."""
    user = RunUser.named(common.run_user) if os.geteuid() == 0 else None
    os.umask(0o022)  # for folders that others must pass; what holds state is made with a narrower mode
    code = find_code(user, settings.state_root)
    home = open_home(common.home, user, settings.state_root)
    with acting_as(user):
        make_folders(home)
        hold(home)
    own_nats = not os.environ.get("TRIPOST_NATS_URL")
    cluster = Cluster(
        home=home,
        code=code,
        user=user,
        nats_port=settings.nats_port if own_nats else None,
        nats_binary=_open_nats_program(code) if own_nats else None,
        hostname=common.hostname,
        operators=known_only(os.environ),
    )
    ports.check_free(cluster.places())
    if code.closed is not None:
        reach_through_descriptors()
    if user is not None:
        act_as(user)
    os.umask(0o077)
    return cluster


def _open_nats_program(code: Code) -> int | None:
    """Open nats-server's program, so that a user can run it who cannot reach it by name; None where he can."""
    return None if code.closed is None else os.open(nats_program(), os.O_RDONLY | os.O_CLOEXEC)


async def _run(cluster: Cluster, most_log_octets: int) -> int:
    terminal = Terminal(sys.stdout, colours=sys.stdout.isatty() and "NO_COLOR" not in os.environ)
    own_log = _log("cluster", cluster.home, most_log_octets, terminal)

    def say(text: str) -> None:
        own_log.feed(event_line("cluster", text))

    try:
        for notice in _notices(cluster):
            terminal.say(notice)
        say(f"starting; the state is in {cluster.home.asked}")
        with explained(cluster.home.asked):
            plans = make_plans(cluster)
        keepers = [Keeper(plan, _log(plan.name, cluster.home, most_log_octets, terminal), say) for plan in plans]
        supervisor = Supervisor(keepers, say)
        for number in STOP_SIGNALS:
            asyncio.get_running_loop().add_signal_handler(number, supervisor.ask_to_stop)
        watch = DiskWatch(cluster.home.asked, say, when_room=lambda: supervisor.renew(NATS))
        watching = asyncio.create_task(watch.run())
        refused = await supervisor.run(lambda: _announce(cluster, terminal, say))
        watching.cancel()
        if refused:
            say(f"{refused} does not take its settings (its own words are above), so the cluster has stopped")
            return WRONG_SETTING
        say("stopped")
        return 0
    finally:
        terminal.close()


def _log(service: str, home: Home, most_octets: int, terminal: Terminal) -> ServiceLog:
    with explained(home.asked):
        file = LogFile(home.log_file(service), most_octets)
    return ServiceLog(service, file, terminal)


def _notices(cluster: Cluster) -> list[str]:
    if cluster.user is None:
        return []
    notices = []
    if not cluster.operators.get("TRIPOST_RUN_USER"):
        notices.append(shared_user_notice(cluster.user.name))
    if cluster.code.closed is not None:
        notices.append(unreachable_notice(cluster.user.name, cluster.code.closed))
    if cluster.home.is_elsewhere:
        notices.append(state_notice(cluster.user.name, cluster.home.asked, cluster.home.path))
    return notices


def _announce(cluster: Cluster, terminal: Terminal, say: Say) -> None:
    """Tell what a newcomer needs; the one-time password is shown once and its file removed."""
    say("all services are ready")
    password = ""
    with contextlib.suppress(FileNotFoundError):
        password = cluster.home.first_password_file.read_text().strip()
        cluster.home.first_password_file.unlink()
    listeners = ports.places(ports.FOR_CLIENTS, cluster.operators)
    terminal.say(ready_text(listeners, cluster.home, cluster.hostname, cluster.operators, password))


def _refuse(because: str) -> NoReturn:
    _tell(because)
    sys.exit(WRONG_SETTING)


def _tell(what: str) -> None:
    print(f"tripost-cluster: {what}", file=sys.stderr)  # noqa: T201 (what its operator must read)
