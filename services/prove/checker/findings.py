"""What a check found: how much it looked at, and the first violations in words. Pure."""

from msgspec import Struct

SHOWN_VIOLATIONS = 20


class Finding(Struct, kw_only=True):
    """`examined` counts what the check looked at; `violations` are the first, of `count` in all."""

    check: str
    ok: bool
    examined: int
    count: int
    violations: list[str]


class Violations:
    """The violations of one check as they are found; keeps the first sentences and counts the rest."""

    def __init__(self, check: str) -> None:
        self.check = check
        self.examined = 0
        self._count = 0
        self._shown: list[str] = []

    def add(self, sentence: str) -> None:
        self._count += 1
        if len(self._shown) < SHOWN_VIOLATIONS:
            self._shown.append(sentence)

    def finding(self) -> Finding:
        return Finding(
            check=self.check,
            ok=not self._count,
            examined=self.examined,
            count=self._count,
            violations=self._shown,
        )
