"""What is remembered of commands that were answered, and what is not."""

import gc
import weakref

from domain.errors import Rejection, UnknownTask
from services.writer.answers import MAX_REFUSAL_CHARS, Answers


class Payload:
    """Stands for all that a decision has at hand."""


def refusal_of(payload: Payload, task: str) -> Rejection:
    """A refusal as a decision raises it, after another that it caught."""
    try:
        try:
            assert payload
            raise KeyError(task)
        except KeyError as error:
            raise UnknownTask(task=task) from error
    except UnknownTask as refusal:
        return refusal


def test_a_refusal_is_told_again_and_keeps_nothing_else_in_memory() -> None:
    answers, payload = Answers(), Payload()
    gone = weakref.ref(payload)
    answers.refused("a1", "c1", refusal_of(payload, "t1"))
    del payload
    gc.collect()
    assert gone() is None
    assert answers.refusal_of("a1", "c1").facts == {"task": "t1"}  # type: ignore[union-attr]  # it is there


def test_a_refusal_of_great_length_is_decided_anew() -> None:
    answers = Answers()
    answers.refused("a1", "c1", refusal_of(Payload(), "t" * MAX_REFUSAL_CHARS))
    assert answers.refusal_of("a1", "c1") is None
