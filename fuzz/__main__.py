"""`python -m fuzz TARGET SECONDS`: look for octets that make a parser fail, led by what code they reach.

Exit code 2 when it cannot begin; otherwise atheris' own: 77 for a finding.
"""

import importlib
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parent.parent
SESSION: Final = "session"
PACKAGES: Final = ("tripost_edge", "tripost_shared", "tripost_domains", "tripost_filter", "fuzz")
LONG: Final = frozenset({SESSION, "header", "line"})


def main() -> None:
    """Fuzz as the arguments say."""
    try:
        atheris: Any = importlib.import_module("atheris")
    except ImportError:
        _give_up("atheris is not installed: see fuzz/README.md")
    sys.path[:0] = [str(ROOT / "tests"), str(ROOT)]
    with atheris.instrument_imports(
        include=["tripost_edge", "tripost_shared", "tripost_domains", "tripost_filter", "fuzz"]
    ):
        targets = dict(importlib.import_module("fuzz.targets").TARGETS)
        targets[SESSION] = importlib.import_module("fuzz.whole_session").Sessions().run
    match sys.argv[1:]:
        case [name, seconds] if name in targets and seconds.isdecimal():
            atheris.Setup([sys.argv[0], *_options(name, int(seconds))], targets[name])
            atheris.Fuzz()
        case _:
            _give_up(f"usage: python -m fuzz TARGET SECONDS\ntargets: {' '.join(targets)}")


def _options(target: str, seconds: int) -> list[str]:
    """Give libFuzzer's options: what to begin from, which words to use, when it is too long or too much.

    The folder stays: what reaches more code is put there.
    """
    words = importlib.import_module("fuzz.words")
    folder = Path(tempfile.mkdtemp(prefix="tripost-fuzz-"))
    seeds = folder / "seeds"
    seeds.mkdir()
    for number, octets in enumerate((*words.SEEDS.get(target, ()), *words.WORDS[target])):
        (seeds / str(number)).write_bytes(octets)
    dictionary = folder / "words"
    dictionary.write_text("".join(f'"{_escaped(word)}"\n' for word in words.WORDS[target] if len(word) < 60))
    return [
        f"-max_total_time={seconds}",
        f"-max_len={4096 if target in LONG else 512}",
        f"-dict={dictionary}",
        "-timeout=10",
        "-rss_limit_mb=1024",
        str(seeds),
    ]


def _escaped(octets: bytes) -> str:
    return "".join(f"\\x{octet:02x}" for octet in octets)


def _give_up(because: str) -> None:
    print(f"fuzz: {because}", file=sys.stderr)
    sys.exit(2)


if __name__ == "__main__":
    main()
