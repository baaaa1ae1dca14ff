"""Which changes of the directory what is remembered here is newer than."""

from collections.abc import Callable
from typing import Final

MOST_KNOWN: Final = 100  # revisions; between two that are heard, each edge asks by one or two of its own


class Revisions:
    """Has all that is remembered forgotten once for each revision, whoever tells of it first.

    A change is committed before its revision is told to anyone, so what is read after that is no older. Revisions are
    compared for being the same alone, not for their order: where the cluster and the database have lost their state
    they begin anew, and an edge may know that before this replica does. One that is merely behind costs one forgetting.
    """

    def __init__(self, *forget: Callable[[], None]) -> None:
        self._forget = forget
        self._known: set[int] = set()

    def hear(self, revision: int) -> None:
        """Note that the directory has changed: this is its revision now."""
        self._known.clear()
        self._begin(revision)

    def be_asked(self, revision: int) -> None:
        """Note the revision that an asker knows of; 0: it knows of none."""
        if revision in self._known or not revision:
            return
        if len(self._known) >= MOST_KNOWN:
            self._known.clear()
        self._begin(revision)

    def _begin(self, revision: int) -> None:
        for forget in self._forget:
            forget()
        self._known.add(revision)
