"""Runs a service's script so that its code is still within reach once root is given up. Standard library only.

`python -P launch.py SCRIPT [FROM=TO …]`, as root. Each folder of `sys.path` is opened now and named by its descriptor
(`/proc/self/fd/7`) from then on: what a service imports or reads beside its code later is found without passing the
folders above, which its user may not enter. `FROM=TO` puts a readable copy in the place of a folder.
"""

import importlib
import os
import runpy
import sys
from pathlib import Path


def reach_through_descriptors() -> None:
    """Name each folder of `sys.path` by a descriptor of it, for this process and what it forks."""
    names = {entry: _by_descriptor(entry) for entry in sys.path if Path(entry).is_dir()}
    sys.path[:] = [names.get(entry, entry) for entry in sys.path]
    for module in list(sys.modules.values()):  # packages that are loaded already look for their parts by `__path__`
        search = getattr(module, "__path__", None)
        if isinstance(search, list):
            search[:] = [_renamed(folder, names) for folder in search]
    sys.path_importer_cache.clear()
    importlib.invalidate_caches()


def _by_descriptor(folder: str) -> str:
    return f"/proc/self/fd/{os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)}"


def _renamed(folder: str, names: dict[str, str]) -> str:
    above = [entry for entry in names if Path(folder).is_relative_to(entry)]
    if not above:
        return folder
    nearest = max(above, key=len)
    return names[nearest] + folder.removeprefix(nearest)


def main() -> None:
    """Run the script in the arguments as the interpreter itself would."""
    script, *copies = sys.argv[1:]
    instead = dict(copy.split("=", 1) for copy in copies)
    sys.path[:] = [instead.get(entry, entry) for entry in sys.path]
    reach_through_descriptors()
    sys.argv[:] = [script]
    runpy.run_path(script, run_name="__main__")


if __name__ == "__main__":
    main()
