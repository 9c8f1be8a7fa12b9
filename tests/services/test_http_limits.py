"""Nobody takes the gateway from others: not who says nothing, nor who asks too much at once."""

import logging
import socket
from collections.abc import Iterator
from time import sleep

import pytest

from services.embedded import EmbeddedPostgres
from services.gateway import entry, server
from tests.services.web import PATIENCE_S, Stream, Web, alone


@pytest.fixture(scope="module")
def gateway(postgres_server: EmbeddedPostgres) -> Iterator[Web]:
    with alone(postgres_server) as web:
        yield web


@pytest.fixture
def web(gateway: Web) -> Web:
    """A project of one's own."""
    return Web(gateway.port, gateway.data)


def begun(web: Web, text: str) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", web.port), timeout=PATIENCE_S)
    connection.sendall(text.format(host=f"127.0.0.1:{web.port}").encode())
    return connection


def until_closed(connection: socket.socket, drip: bytes = b"") -> bytes:
    """All that the gateway says until it ends the connection, while the client sends on."""
    told = b""
    connection.settimeout(0.05 if drip else PATIENCE_S)
    while True:
        try:
            if not (more := connection.recv(65_536)):
                return told
            told += more
        except TimeoutError:
            assert drip, "the gateway does not end the connection"
            connection.sendall(drip)
        except ConnectionError:
            return told


@pytest.mark.parametrize("head", ["", "GET /healthz HTTP/1.1\r\nHost: {host}\r\nX-Slow: "])
def test_who_does_not_say_what_it_wants_is_cut_off(
    web: Web, monkeypatch: pytest.MonkeyPatch, head: str
) -> None:
    monkeypatch.setattr(server, "HEAD_TIMEOUT_S", 0.2)
    connection = begun(web, head)
    assert until_closed(connection, b"a" if head else b"") == b""
    connection.close()


def test_who_sends_on_after_it_was_refused_is_cut_off(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "HEAD_TIMEOUT_S", 0.2)
    path = f"/api/{web.project}/task/enqueue"
    connection = begun(web, f"POST {path} HTTP/1.1\r\nHost: {{host}}\r\nContent-Length: 200000\r\n\r\n")
    assert until_closed(connection, b" ").startswith(b"HTTP/1.1 401")
    connection.close()


def test_who_waits_for_an_answer_is_not_cut_off(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "HEAD_TIMEOUT_S", 0.1)
    web.post("agent.spawn", {"agent": "w1", "persona": "plot"})
    claimed = web.post("task.claim", {"wait_s": 0.5}, token=web.token("w1"))
    assert (claimed.status, claimed.json["result"]) == (200, {"tasks": []})


def test_who_goes_in_the_middle_of_a_request_is_no_fault(web: Web, caplog: pytest.LogCaptureFixture) -> None:
    head = f"POST /api/{web.project}/task/enqueue HTTP/1.1\r\nHost: {{host}}\r\nContent-Length: 9\r\n"
    with caplog.at_level(logging.DEBUG, "services.gateway"):
        begun(web, f"{head}Authorization: Bearer {web.operator}\r\n\r\n{{{{").close()
        while "went before" not in caplog.text:
            sleep(0.01)
    assert web.get("/healthz").status == 200
    assert "Traceback" not in caplog.text
    assert "internal_error" not in web.get("/metrics").text


def test_nobody_has_too_much_under_way_at_once(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(entry, "MAX_AT_ONCE", 2)
    queue, greedy = f"/api/{web.project}/queue", web.token("w1")
    stream = Stream(web, f"/api/{web.project}/stream", token=greedy)
    assert stream.answer.status == 200
    monkeypatch.setattr(entry, "MAX_AT_ONCE", 1)
    refused = web.get(queue, token=greedy)
    assert (refused.status, refused.code, refused.headers["retry-after"]) == (429, "too_many_at_once", "1")
    assert web.post("task.claim", token=greedy).code == "too_many_at_once"
    assert web.get(queue, token=web.token("w2")).status == 200
    stream.close()
    while web.get(queue, token=greedy).status != 200:  # it is known to be gone within a second
        sleep(0.05)
