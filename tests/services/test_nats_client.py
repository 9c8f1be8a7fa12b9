"""A client that hears on, whatever messages the server lets through."""

import asyncio

import pytest
from nats.aio.msg import Msg

from services.bus.connection import connect
from services.errors import Unavailable
from services.prove.fuzz_wire import Wire, frame

UNREADABLE = [
    frame(b"heard", b"_INBOX.\xff", None, b""),
    frame(b"heard", b"", b"N", b""),
    frame(b"heard", b"", b"NATS/1.0", b""),
    frame(b"heard", b"", b"NATS/1.0 \xff\xfe\xfd gone\r\n\r\n", b""),
    frame(b"heard.\xff", b"", None, b""),
]
ODD = [
    (frame(b"heard", b"_INBOX.a\x0bb", None, b"1"), ("heard", "_INBOX.a\x0bb")),
    (frame(b"heard.a\x0b7", b"", None, b"2"), ("heard.a\x0b7", "")),
    (frame(b"heard.\x0c", b"_INBOX.\x0c", b"NATS/1.0\r\na: b\r\n\r\n", b"3"), ("heard.\x0c", "_INBOX.\x0c")),
]


@pytest.mark.parametrize("frames", [*UNREADABLE, b"".join(UNREADABLE)])
def test_a_message_that_cannot_be_read_is_dropped_and_the_next_one_heard(
    nats_url: str, frames: bytes
) -> None:
    assert heard(nats_url, frames + frame(b"heard", b"", None, b"good")) == [("heard", "", b"good")]


@pytest.mark.parametrize(("frames", "address"), ODD)
def test_a_message_is_split_where_the_server_splits_it(
    nats_url: str, frames: bytes, address: tuple[str, str]
) -> None:
    first, second = heard(nats_url, frames + frame(b"heard", b"", None, b"good"), count=2)
    assert (first[:2], second[2]) == (address, b"good")


def test_an_address_that_asks_for_tls_is_never_spoken_to_without(nats_url: str) -> None:
    address = nats_url.rpartition("@")[2].removeprefix("nats://").partition("?")[0]
    with pytest.raises(Unavailable):
        asyncio.run(connect(f"tls://{address}", "test"))


def heard(nats_url: str, frames: bytes, count: int = 1) -> list[tuple[str, str, bytes]]:
    """The first messages that a client hears when these bytes are sent; those of other tests aside."""

    async def run() -> list[tuple[str, str, bytes]]:
        client = await connect(nats_url, "test")
        messages: asyncio.Queue[Msg] = asyncio.Queue()
        for subjects in ("heard", "heard.>"):
            await client.subscribe(subjects, cb=messages.put)
        await client.flush()
        wire = await Wire.open(nats_url)
        try:
            await wire.send(frames)
            found = [await asyncio.wait_for(messages.get(), 10) for _ in range(count)]
            return [(message.subject, message.reply, message.data) for message in found]
        finally:
            await wire.close()
            await client.close()

    return asyncio.run(run())
