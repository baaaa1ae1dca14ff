"""Postfix as the measure: the system's own binaries with a configuration of ours, in a folder of ours.

It checks nothing, looks nothing up in DNS and delivers to a Maildir (virtual(8)) or to a next hop (smtp(8)). It writes
its log to a file, as the cluster does. Everything else is as Postfix comes, apart from what is said beside it.
"""

import grp
import os
import pwd
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from bench.content import LOCAL_DOMAIN, MAILBOX, RELAY_DOMAIN
from bench.system import BenchError, free_port, listens, wait_until

MAIN_CF: Final = """\
compatibility_level = 3.6
queue_directory = {folder}/spool
data_directory = {folder}/data
command_directory = {command_directory}
daemon_directory = {daemon_directory}
shlib_directory = {shlib_directory}
meta_directory = {meta_directory}
mail_owner = postfix
setgid_group = postdrop
myhostname = postfix.bench.example
mydestination =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
alias_maps =
alias_database =
local_recipient_maps =
maillog_file = {folder}/mail.log
maillog_file_prefixes = {folder}
# No checks, no look-ups.
smtpd_peername_lookup = no
smtp_dns_support_level = disabled
smtp_host_lookup = native
smtp_tls_security_level = none
# Its own brake on a fast client, made for machines that do other things as well.
in_flow_delay = 0
virtual_mailbox_domains = {local_domain}
virtual_mailbox_base = {folder}/mail
virtual_mailbox_maps = static:{local_domain}/ann/
virtual_uid_maps = static:{user_id}
virtual_gid_maps = static:{group_id}
relay_domains = {relay_domain}
relay_transport = relay:[127.0.0.1]:{next_hop_port}
"""

MASTER_CF: Final = """\
127.0.0.1:{port} inet n - n - - smtpd
pickup    unix n - n 60  1 pickup
cleanup   unix n - n -   0 cleanup
qmgr      unix n - n 300 1 qmgr
rewrite   unix - - n -   - trivial-rewrite
bounce    unix - - n -   0 bounce
defer     unix - - n -   0 bounce
trace     unix - - n -   0 bounce
verify    unix - - n -   1 verify
flush     unix n - n 1000? 0 flush
proxymap  unix - - n -   - proxymap
smtp      unix - - n -   - smtp
relay     unix - - n -   - smtp
showq     unix n - n -   - showq
error     unix - - n -   - error
retry     unix - - n -   - error
virtual   unix - n n -   - virtual
anvil     unix - - n -   1 anvil
scache    unix - - n -   1 scache
postlog   unix-dgram n - n - 1 postlogd
"""


def why_not() -> str:
    """Say why Postfix cannot run here; "" if it can."""
    if shutil.which("postfix") is None or shutil.which("postconf") is None:
        return "postfix is not installed"
    if os.geteuid() != 0:
        return "postfix starts as root only"
    return ""


def version() -> str:
    """Give the version, such as `3.7.11`."""
    return _default("mail_version")


class Postfix:
    """A Postfix instance of its own; `folder` must be reachable for every user."""

    name = "Postfix"

    def __init__(self, folder: Path, next_hop_port: int) -> None:
        self._folder = folder
        self._config = folder / "config"
        self._port = free_port()
        self.new_mail = folder / "mail" / LOCAL_DOMAIN / MAILBOX.partition("@")[0] / "new"
        self._write_configuration(next_hop_port)
        self._control("start")
        try:
            wait_until(lambda: listens(self._port), "Postfix listens", 20)
            self._master = int((folder / "spool/pid/master.pid").read_text())
        except BaseException:
            self.stop()
            raise

    @property
    def port(self) -> int:
        """Where it takes mail."""
        return self._port

    def processes(self) -> Mapping[str, Sequence[int]]:
        """One group: its many processes live shortly, and master(8) has waited for all that have ended."""
        return {"postfix": [self._master]}

    def examinations(self) -> Mapping[str, int]:
        """Nothing is checked."""
        return {}

    def check_arrived(self, stored: bytes) -> str:
        """Nothing but the content is asked of it."""
        return "" if stored else "empty"

    def stop(self) -> None:
        """Stop by its own command, which waits for its processes."""
        self._control("stop")

    def _write_configuration(self, next_hop_port: int) -> None:
        owner = pwd.getpwnam("nobody")
        for name in ("config", "spool", "data", "mail"):
            (self._folder / name).mkdir(mode=0o755)
        os.chown(self._folder / "data", pwd.getpwnam("postfix").pw_uid, grp.getgrnam("postfix").gr_gid)
        os.chown(self._folder / "mail", owner.pw_uid, owner.pw_gid)
        main = MAIN_CF.format(
            folder=self._folder,
            local_domain=LOCAL_DOMAIN,
            relay_domain=RELAY_DOMAIN,
            next_hop_port=next_hop_port,
            user_id=owner.pw_uid,
            group_id=owner.pw_gid,
            **{name: _default(name) for name in _INSTALLED_AT},
        )
        (self._config / "main.cf").write_text(main)
        (self._config / "master.cf").write_text(MASTER_CF.format(port=self._port))

    def _control(self, command: str) -> None:
        done = subprocess.run(
            ["postfix", "-c", str(self._config), command], capture_output=True, text=True, timeout=60, check=False
        )
        if done.returncode:
            raise BenchError(f"postfix {command}: {done.stderr.strip() or self._last_log_lines()}")

    def _last_log_lines(self) -> str:
        log = self._folder / "mail.log"
        return "\n".join(log.read_text().splitlines()[-5:]) if log.exists() else "it said nothing"


_INSTALLED_AT: Final = ("command_directory", "daemon_directory", "shlib_directory", "meta_directory")


def _default(parameter: str) -> str:
    asked = subprocess.run(["postconf", "-d", "-h", parameter], capture_output=True, text=True, timeout=20, check=True)
    return asked.stdout.strip()
