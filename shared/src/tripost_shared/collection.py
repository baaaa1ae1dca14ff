"""When Python looks for unreachable cycles: what a service has made by its start is never looked at again.

A full look goes through every object there is, most of them modules and classes, and everything waits for it: 50 ms in
domains, several times in a thousand messages when the threshold is Python's own. Figures: docs/decisions/0016.
"""

import gc
from typing import Final

NEW_OBJECTS: Final = 5000  # made and not freed, before the youngest are looked at; Python's own: 700


def spare_what_lives() -> None:
    """Leave out what is alive now, and look less often; called once, when the service is ready."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(NEW_OBJECTS, *gc.get_threshold()[1:])
