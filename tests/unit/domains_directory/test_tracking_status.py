"""What became of a message."""

import pytest

from tripost_domains.tracking.status import Seen, status_of
from tripost_shared.contracts.events import Fact


def told(*facts: str) -> Fact:
    """Facts in the order of time, as `recipient fact`, or `fact` for the whole message."""
    seen = []
    for order, line in enumerate(facts):
        recipient, _, fact = line.rpartition(" ")
        seen.append(Seen(recipient, Fact(fact), float(order)))
    assert status_of(reversed(seen)) is status_of(seen), "the order of arrival does not matter"
    return status_of(seen)


@pytest.mark.parametrize(
    ("facts", "status"),
    [
        pytest.param(["refused"], "refused", id="refused"),
        pytest.param(["accepted"], "accepted", id="accepted, nothing more yet"),
        pytest.param(["warned"], "warned", id="warned of a limit, and came to no message"),
        pytest.param(["warned", "refused"], "refused", id="warned of a limit, then refused"),
        pytest.param(["warned", "accepted"], "accepted", id="warned of a limit, accepted"),
        pytest.param(["bob refused", "accepted"], "accepted", id="one recipient refused, the message accepted"),
        pytest.param(["accepted", "ann delivered"], "delivered", id="delivered"),
        pytest.param(["ann delivered"], "delivered", id="delivered, what came before not told yet"),
        pytest.param(["accepted", "ann relayed"], "relayed", id="relayed"),
        pytest.param(["accepted", "ann deferred"], "deferred", id="deferred"),
        pytest.param(["accepted", "ann deferred", "ann relayed"], "relayed", id="deferred, then relayed"),
        pytest.param(["accepted", "ann relayed", "ann deferred"], "relayed", id="settled stays settled"),
        pytest.param(["accepted", "ann deferred", "ann failed"], "failed", id="deferred, then given up"),
        pytest.param(["accepted", "ann failed", "bounced"], "bounced", id="given up, and the sender told"),
        pytest.param(["accepted", "ann delivered", "bob failed"], "failed", id="a failure among deliveries"),
        pytest.param(["accepted", "ann failed", "bob deferred"], "deferred", id="a failure while another is tried"),
        pytest.param(["accepted", "ann deferred", "ann held"], "held", id="held"),
        pytest.param(["accepted", "ann held", "ann released"], "deferred", id="released: due again"),
        pytest.param(["accepted", "ann held", "bob relayed"], "held", id="one held, one relayed"),
        pytest.param(["accepted", "discarded"], "discarded", id="dropped as a whole"),
        pytest.param(["accepted", "ann deferred", "ann discarded"], "discarded", id="dropped from the queue"),
        pytest.param(["ann delivered", "bob deferred", "bob discarded"], "discarded", id="dropped for one recipient"),
        pytest.param(["accepted", "ann relayed", "bob delivered"], "delivered", id="one here, one elsewhere"),
        pytest.param(["accepted", "info expanded", "ann delivered"], "delivered", id="an alias"),
        pytest.param(["accepted", "ann relayed", "ann bounced"], "relayed", id="a report of success is no failure"),
    ],
)
def test_the_status_of_a_message(facts: list[str], status: str) -> None:
    assert told(*facts) == status
