"""What a service's process and its supervisor agree on: what an exit code means, and how long an end may take. Pure."""

from datetime import timedelta
from typing import Final

BROKEN: Final = 1  # start it again
WRONG_SETTING: Final = 2  # nothing but its operator can mend that, unless it has worked with these settings before

DRAIN_WITHIN: Final = timedelta(seconds=15)
STOP_WITHIN: Final = timedelta(seconds=5)
KILL_AFTER: Final = DRAIN_WITHIN + STOP_WITHIN + timedelta(seconds=5)  # a supervisor that kills sooner cuts a drain
