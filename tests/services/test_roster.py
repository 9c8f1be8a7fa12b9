"""How the instances of services are called, and which service each is."""

from services.roster import SERVICES, instances, service_of


def test_the_first_instance_bears_the_name_of_its_service_and_the_others_a_number() -> None:
    assert instances({"writer": 3}) == {
        "writer": "writer",
        "writer-2": "writer",
        "writer-3": "writer",
        "relay": "relay",
        "projector": "projector",
        "gateway": "gateway",
        "recall": "recall",
    }
    assert tuple(instances({})) == SERVICES


def test_the_service_is_told_by_the_name_of_an_instance() -> None:
    found = instances({"relay": 2, "projector": 2})
    assert {name: service_of(name) for name in found} == found
    assert service_of("nats") == "nats"
