"""How often NATS denied something to whom, counted from the log of the embedded server. Reads it; no more."""

import re
from collections import Counter
from pathlib import Path

_TOO_LARGE = "maximum (?:payload|control line) exceeded"
_DENIED = re.compile(
    r"(?<!\\)\"[^\"]*nkey:(U[A-Z2-7]{55})\" - "
    rf"(?:(?:Publish|Subscription|Authorization) Violation|{_TOO_LARGE})"
)
"""What stands in quotes before is escaped by the server, a client's own name for one."""

_TURNED_AWAY = re.compile(rf"(?:authentication error|{_TOO_LARGE})(?: - Nkey \"(U[A-Z2-7]{{55}})\")?")
UNKNOWN = ""


def violations(data: Path) -> Counter[str]:
    """By public key, since the log begins (30 MiB at most); under the empty name those without a key."""
    found: Counter[str] = Counter()
    for path in (data / "nats").glob("server.log*"):
        with path.open(errors="replace") as log:
            for line in log:
                if denied := _DENIED.search(line):
                    found[denied[1]] += 1
                elif away := _TURNED_AWAY.search(line):
                    found[away[1] or UNKNOWN] += 1
    return found
