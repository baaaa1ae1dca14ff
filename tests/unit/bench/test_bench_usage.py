"""What processes cost is told by group, children that have ended included."""

import os
import subprocess
import sys

from bench.usage import Meter

BURN = "import time; end = time.process_time() + 0.3\nwhile time.process_time() < end: pass"
PARENT = f"""
import subprocess, sys
subprocess.run([sys.executable, "-c", {BURN!r}])
print("done", flush=True)
sys.stdin.read()
"""


def test_cpu_time_of_a_child_that_has_ended_counts() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as parent:
        meter = Meter(lambda: {"parent": [parent.pid]})
        meter.start()
        assert parent.stdout is not None
        parent.stdout.readline()
        usage = meter.stop()
        parent.communicate()
    assert 0.25 <= usage.cpu_seconds["parent"] < 1.5
    assert usage.peak_octets["parent"] > 1 << 20


def test_a_process_counts_in_the_group_that_names_it_not_in_that_of_its_parent() -> None:
    with subprocess.Popen([sys.executable, "-c", BURN], stdin=subprocess.DEVNULL) as child:
        meter = Meter(lambda: {"us": [os.getpid()], "child": [child.pid]})
        meter.start()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        usage = meter.stop()
    assert usage.cpu_seconds["child"] >= 0.2
    assert usage.cpu_seconds["us"] < 0.2
