"""Refusals that are not the domain's: what arrived cannot be understood, or cannot be served now."""

from domain.errors import CoordError

RETRY_AFTER_S = 0.5
"""When to ask again whoever is busy or away."""


class BadInput(CoordError):
    code = "bad_input"
    says = "The request is not what {verb} takes: {why}."


class UnknownVerb(CoordError):
    code = "unknown_verb"
    says = "There is no command {verb}; there are {verbs}."


class UnknownView(CoordError):
    code = "unknown_view"
    says = "There is no view {view}; there are {views}."


class BadName(CoordError):
    code = "bad_name"
    says = "{name} cannot name a {kind}: use 1 to 64 letters, digits, _ or -, and no _ first."


class PayloadTooLarge(CoordError):
    code = "payload_too_large"
    says = "The request has {size} bytes; the limit is {limit}. Put large data elsewhere and link to it."


class AnswerTooLarge(CoordError):
    code = "answer_too_large"
    says = "The answer has {size} bytes; the limit is {limit}. Ask for fewer at once, by `limit` or `count`."


class NotPermitted(CoordError):
    code = "not_permitted"
    says = (
        "{identity} may not {what} {subject}: its role, projects or name do not allow it. Use the"
        " credentials of one who may; `coordctl access list` tells who may what."
    )


class NotAuthorized(CoordError):
    code = "not_authorized"
    says = (
        "NATS lets {identity} in no more, or never did ({why}). Set COORD_CREDENTIALS to the file that"
        " `coordctl access enroll` wrote for you; what is revoked must be enrolled anew."
    )


class Busy(CoordError):
    code = "busy"
    says = "The writer has {waiting} requests waiting, its limit; try again in {retry_after_s} s."
    retryable = True


class Unavailable(CoordError):
    code = "unavailable"
    says = (
        "{what} does not answer now ({why}); try again in {retry_after_s} s: nothing was changed, or the same"
        " command id tells what was."
    )
    retryable = True

    def __init__(self, *, what: str, why: str, retry_after_s: float = RETRY_AFTER_S) -> None:
        super().__init__(what=what, why=why, retry_after_s=retry_after_s)


class InternalError(CoordError):
    code = "internal_error"
    says = "coordctl has a fault: {verb} failed with {kind}. Nothing was changed; the log tells more."


class TimedOut(CoordError):
    code = "timed_out"
    says = "No answer within {timeout_s} s; repeat the command with the same command id to learn its fate."
    retryable = True
