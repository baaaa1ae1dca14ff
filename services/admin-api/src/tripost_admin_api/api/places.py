"""Where a rule is to stand among others, in lists whose order counts."""

from collections.abc import Sequence

from pydantic import Field, model_validator

from tripost_admin_api.api.models import Incoming
from tripost_admin_api.api.problems import invalid


class Place(Incoming):
    """Where a rule is to stand: at a position (1 is the first), or in front of another one, or behind it."""

    position: int | None = Field(None, ge=1, description="1 is the first; beyond the last: the last.")
    before: str = Field("", max_length=40)
    after: str = Field("", max_length=40)

    @model_validator(mode="after")
    def _one_at_most(self) -> "Place":
        if (self.position is not None) + bool(self.before) + bool(self.after) > 1:
            raise ValueError("accepted is one of position, before and after")
        return self

    def among(self, names: Sequence[str], what: str) -> int:
        """Give the index among rules of these names; behind all where nothing is wanted. Raises Problem."""
        if self.position is not None:
            return min(self.position - 1, len(names))
        for field, name, behind in (("before", self.before, 0), ("after", self.after, 1)):
            if name and name not in names:
                raise invalid(f"body.{field}", f"there is no other {what} {name!r}")
            if name:
                return names.index(name) + behind
        return len(names)


class MoveIn(Place):
    """Where a rule is to stand."""

    @model_validator(mode="after")
    def _one_at_least(self) -> "MoveIn":
        if self.position is None and not self.before and not self.after:
            raise ValueError("accepted is one of position, before and after")
        return self
