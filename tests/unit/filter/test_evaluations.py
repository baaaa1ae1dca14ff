"""Results of evaluations, remembered for as long as the answers they rest on."""

from datetime import timedelta

import pytest

from tripost_filter import evaluations
from tripost_filter.adapters import pyspf
from tripost_filter.checks.spf import Spf
from tripost_filter.evaluations import MOST_ANSWERS, MOST_CHARACTERS, Evaluations
from tripost_shared.clock import FrozenClock
from tripost_shared.contracts.filter import Finding
from tripost_shared.dns.port import DnsAnswer, Status
from tripost_shared.mail.client import Client
from unit.filter.mails import STRANGER, a_mail

ASKED = ("a.example", "A")


class Memory:
    """A resolver that knows what it is told, and asks nobody."""

    def __init__(self, **texts: str) -> None:
        self.answers = {(name.replace("_", "."), "TXT"): found(text) for name, text in texts.items()}

    def cached(self, name: str, record_type: str) -> DnsAnswer | None:
        return self.answers.get((name, record_type))

    async def resolve(self, name: str, record_type: str, within: timedelta | None = None) -> DnsAnswer:
        return DnsAnswer(Status.NO_NAME)


def found(*records: str) -> DnsAnswer:
    return DnsAnswer(Status.FOUND, records, 60)


def test_a_result_holds_while_all_of_its_answers_do() -> None:
    resolver = Memory(a_example="one", b_example="two")
    results: Evaluations[str] = Evaluations(resolver)
    results.remember("key", "pass", resolver.answers)
    assert (results.recall("key"), results.recall("other")) == ("pass", None)
    del resolver.answers["b.example", "TXT"]
    assert results.recall("key") is None


def test_a_result_does_not_survive_a_changed_answer() -> None:
    resolver = Memory(a_example="one")
    results: Evaluations[str] = Evaluations(resolver)
    results.remember("key", "pass", resolver.answers)
    resolver.answers["a.example", "TXT"] = found("two")
    assert results.recall("key") is None


@pytest.mark.parametrize(
    "answers",
    [
        pytest.param({}, id="none"),
        pytest.param({(f"n{number}.example", "A"): found("x") for number in range(MOST_ANSWERS + 1)}, id="too many"),
        pytest.param({ASKED: found("x" * MOST_CHARACTERS, "y")}, id="too long"),
    ],
)
def test_results_are_remembered_on_a_few_short_answers_only(answers: dict[tuple[str, str], DnsAnswer]) -> None:
    resolver = Memory()
    resolver.answers = answers
    results: Evaluations[str] = Evaluations(resolver)
    results.remember("key", "pass", answers)
    assert results.recall("key") is None


def test_the_least_used_results_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluations, "MOST_REMEMBERED", 2)
    resolver = Memory(a_example="one")
    results: Evaluations[str] = Evaluations(resolver)
    for key in "abac":
        if results.recall(key) is None:
            results.remember(key, key, resolver.answers)
    assert [results.recall(key) for key in "abc"] == ["a", None, "c"]


class Counting:
    """Counts SPF evaluations."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **texts: str) -> None:
        self.count = 0
        self.resolver = Memory(**texts)
        self._check = Spf(self.resolver, FrozenClock(), "mx.dest.example", refuse_fail=True)
        self._evaluate = pyspf.evaluate
        monkeypatch.setattr(pyspf, "evaluate", self._counted)

    def result(self, reverse_path: str = "ann@sender.example", client: Client = STRANGER) -> str:
        finding = self._check.examine_at_once(a_mail(client, reverse_path=reverse_path))
        assert isinstance(finding, Finding)
        return finding.result

    def _counted(self, *arguments: object) -> object:
        self.count += 1
        return self._evaluate(*arguments)  # type: ignore[arg-type]  # whatever the check gave


def test_spf_is_evaluated_once_a_client_and_domain(monkeypatch: pytest.MonkeyPatch) -> None:
    spf = Counting(monkeypatch, sender_example="v=spf1 ip4:192.0.2.7 -all", other_example="v=spf1 -all")
    assert (spf.result(), spf.result("eve@sender.example"), spf.count) == ("pass", "pass", 1)
    assert (spf.result(client=Client("192.0.2.8", helo="x.example")), spf.count) == ("fail", 2)
    assert (spf.result("ann@other.example"), spf.count) == ("fail", 3)
    spf.resolver.answers["sender.example", "TXT"] = found("v=spf1 -all")
    assert (spf.result(), spf.count) == ("fail", 4)


def test_spf_with_macros_is_evaluated_for_each_sender(monkeypatch: pytest.MonkeyPatch) -> None:
    spf = Counting(monkeypatch, sender_example="v=spf1 exists:%{l}.sender.example -all")
    spf.resolver.answers["ann.sender.example", "A"] = found("127.0.0.2")
    spf.resolver.answers["eve.sender.example", "A"] = DnsAnswer(Status.NO_NAME, (), 60)
    assert (spf.result(), spf.result("eve@sender.example"), spf.count) == ("pass", "fail", 2)
