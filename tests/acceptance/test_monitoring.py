"""What an operator's Prometheus finds at a system that `coordctl up` runs."""

from http.client import HTTPConnection

from prometheus_client.parser import text_string_to_metric_families

from tests.acceptance.system import System, eventually


def metrics(system: System) -> dict[str, float]:
    """The values of metrics that are told once, and those of servers."""
    address = system.state["http_url"].removeprefix("http://")
    connection = HTTPConnection(address, timeout=30)
    connection.request("GET", "/metrics")
    text = connection.getresponse().read().decode()
    connection.close()
    families = text_string_to_metric_families(text)
    return {sample.name: sample.value for family in families for sample in family.samples}


def test_up_tells_the_gateway_where_nats_is_monitored_and_which_disk_counts(system: System) -> None:
    eventually(lambda: metrics(system).get("coordctl_nats_healthy") == 1, "the server is watched")
    found = metrics(system)
    assert found["coordctl_nats_memory_bytes"] > 0
    assert found["coordctl_disk_free_bytes"] > 0
    assert found["coordctl_postgres_connections_limit"] == 100
