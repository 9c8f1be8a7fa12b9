"""The HTTP API keeps to its own description: what fits it is understood, what does not is refused.

No answer is a fault, or of another shape. Bounded and always the same here; `schemathesis run` tries more.
"""

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.schemas import APIOperation

from services.embedded import EmbeddedPostgres
from services.gateway.openapi import document
from tests.services.web import Web, alone

EXAMPLES = 2
COMMANDS = ("agent/spawn", "task/plan", "task/claim", "task/complete", "setting/set", "bookmark/set")
LISTS = ("queue", "events", "task")
OPERATIONS = [*(("POST", verb) for verb in COMMANDS), *(("GET", view) for view in LISTS)]
"""Those whose fields differ most; the rest is made of the same."""


@pytest.fixture(scope="module")
def web(postgres_server: EmbeddedPostgres) -> Iterator[Web]:
    with alone(postgres_server) as web:
        yield web


@pytest.fixture(scope="module")
def described() -> Any:
    """The document. A NUL character cannot be stored, as the document says in words alone."""
    schema = schemathesis.openapi.from_dict(document())
    schema.config.generation.update(allow_x00=False)
    return schema


@pytest.mark.filterwarnings("ignore:Do not use the `random` module")  # its own strategies do
@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
def test_every_answer_is_as_described(web: Web, described: Any, mode: GenerationMode) -> None:
    for method, path in OPERATIONS:
        operation: APIOperation[Any, Any, Any, Any] = described[f"/api/{{project}}/{path}"][method]

        @settings(
            max_examples=EXAMPLES, derandomize=True, deadline=None, database=None, phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        @given(case=operation.as_strategy(generation_mode=mode))
        def keeps_to_it(case: Any) -> None:
            for asked in (case.body, case.query):
                if isinstance(asked, dict) and isinstance(asked.get("wait_s"), int | float):
                    asked["wait_s"] = min(asked["wait_s"], 0)  # else a claim waits up to a minute for work
            case.call_and_validate(
                base_url=f"http://127.0.0.1:{web.port}",
                headers={"Authorization": f"Bearer {web.operator}"},
            )

        keeps_to_it()
