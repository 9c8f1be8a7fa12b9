"""What the gateway refuses before anybody is asked: whom it does not know, what is not theirs. Pure."""

from domain.errors import CoordError


class Unauthenticated(CoordError):
    code = "unauthenticated"
    says = (
        "{why}: send `Authorization: Bearer coord_…` with a token that `coordctl access token create` made;"
        " the local operator's is in credentials/operator.token in the data directory."
    )


class TokenExpired(CoordError):
    code = "token_expired"
    says = "Token {id} expired at {at}; have another made with `coordctl access token create`."


class TokenRevoked(CoordError):
    code = "token_revoked"
    says = "Token {id} was revoked at {at} and opens nothing any more."


class TokenInUrl(CoordError):
    code = "token_in_url"
    says = (
        "A token must not be part of a URL, where logs and histories keep it: send it in the header"
        " Authorization, and revoke this one if it was real."
    )


class Forbidden(CoordError):
    code = "not_permitted"
    says = "{why}."


class UnknownHost(CoordError):
    code = "unknown_host"
    says = (
        "The gateway does not go by the name in the Host header; use its own address, or name this one in"
        " COORD_HTTP_HOSTS."
    )


class CrossSite(CoordError):
    code = "cross_site"
    says = "The request comes from a page of another site ({origin}), and such may change nothing here."


class RateLimited(CoordError):
    code = "rate_limited"
    says = "This token asks more than {rate_per_s} times a second; try again in {retry_after_s} s."
    retryable = True


class TooManyAtOnce(CoordError):
    code = "too_many_at_once"
    says = (
        "{actor} has {limit} requests under way with this token, the most there may be; let some end, or try"
        " again in {retry_after_s} s."
    )
    retryable = True


class NoSuchPage(CoordError):
    code = "no_such_page"
    says = "There is nothing at this address; GET /api/openapi.json tells what there is."


class WrongMethod(CoordError):
    code = "wrong_method"
    says = "This address takes {allowed}."


class HeadTooLarge(CoordError):
    code = "head_too_large"
    says = "Address and headers of the request have {size} bytes; the limit is {limit}."


class SlowBody(CoordError):
    code = "slow_body"
    says = "The body of the request was not there after {timeout_s} s; send the request again."
    retryable = True


class WrongMediaType(CoordError):
    code = "wrong_media_type"
    says = "Send the command as JSON, with the header `Content-Type: application/json`."


class BadCursor(CoordError):
    code = "bad_cursor"
    says = "This list gave no such cursor with these parameters; ask for the first page again."


class TooManyListeners(CoordError):
    code = "too_many_listeners"
    says = "The gateway has {listeners} listeners, its limit; try again in {retry_after_s} s."
    retryable = True


class TooManyCommands(CoordError):
    code = "too_many_commands"
    says = "The gateway has {waiting} commands under way, its limit; try again in {retry_after_s} s."
    retryable = True


class TokensUnreadable(CoordError):
    code = "tokens_unreadable"
    says = "{path} cannot be read ({why}); nobody is let in before it can."


class UnknownToken(CoordError):
    code = "unknown_token"
    says = "There is no token {id} that is valid; `coordctl access token list` tells which there are."


class TooManyTokens(CoordError):
    code = "too_many_tokens"
    says = "There are {limit} valid tokens, the limit; revoke those that nobody uses."


class PublicWithoutTokens(CoordError):
    code = "public_without_tokens"
    says = (
        "The gateway does not listen on {host}, which others can reach, while there is no token: make one"
        " with `coordctl access token create`, or listen on 127.0.0.1."
    )
