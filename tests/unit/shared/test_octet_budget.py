"""Octets under way at one time have a bound; who waits for room has it in turn."""

import asyncio

import pytest

from tripost_shared.content.budget import OctetBudget


class Holder:
    """Takes octets of a budget until told to give them back."""

    def __init__(self, budget: OctetBudget, octets: int) -> None:
        self.has_them = False
        self._gives_back = asyncio.Event()
        self.task = asyncio.create_task(self._hold(budget, octets))

    async def _hold(self, budget: OctetBudget, octets: int) -> None:
        async with budget.take(octets):
            self.has_them = True
            try:
                await self._gives_back.wait()
            finally:
                self.has_them = False

    async def give_back(self) -> None:
        self._gives_back.set()
        await self.task


async def holders(budget: OctetBudget, *octets: int) -> list[Holder]:
    made = [Holder(budget, each) for each in octets]
    await settled()
    return made


async def settled() -> None:
    """Let all run that can."""
    for _ in range(5):
        await asyncio.sleep(0)


def who_has(made: list[Holder]) -> list[bool]:
    return [holder.has_them for holder in made]


async def test_no_more_is_taken_than_there_is() -> None:
    made = await holders(OctetBudget(10), 4, 6, 1)
    assert who_has(made) == [True, True, False]
    await made[0].give_back()
    await settled()
    assert who_has(made) == [False, True, True]


async def test_who_wants_much_is_not_overtaken_by_those_who_want_little() -> None:
    made = await holders(OctetBudget(10), 6, 8, 1, 1)
    assert who_has(made) == [True, False, False, False]
    await made[0].give_back()
    await settled()
    assert who_has(made) == [False, True, True, True]


async def test_who_wants_more_than_there_is_has_all_of_it_alone() -> None:
    made = await holders(OctetBudget(10), 1, 1000, 1)
    assert who_has(made) == [True, False, False]
    await made[0].give_back()
    await settled()
    assert who_has(made) == [False, True, False]
    await made[1].give_back()
    await settled()
    assert who_has(made) == [False, False, True]


@pytest.mark.parametrize("is_given_meanwhile", [False, True])
async def test_who_is_stopped_while_waiting_takes_nothing_and_stops_nobody(is_given_meanwhile: bool) -> None:
    budget = OctetBudget(10)
    made = await holders(budget, 8, 8, 2)
    assert who_has(made) == [True, False, False]
    if is_given_meanwhile:
        made[0].task.cancel()  # gives back in the next turn, before the other's cancelling is noticed
        await asyncio.sleep(0)
    made[1].task.cancel()
    await settled()
    assert who_has(made)[1:] == [False, True]
    for holder in made:
        holder.task.cancel()
    await settled()
    (all_of_it,) = await holders(budget, 10)
    assert all_of_it.has_them


async def test_a_failure_gives_back_what_was_taken() -> None:
    budget = OctetBudget(10)
    with pytest.raises(ValueError, match="broken"):
        async with budget.take(10):
            raise ValueError("broken")
    (all_of_it,) = await holders(budget, 10)
    assert all_of_it.has_them
