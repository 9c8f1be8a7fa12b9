"""Read models shared out among projectors, on a real Postgres."""

from projections.catalog import PROJECTIONS
from services.projector.groups import Groups, groups_of


def test_every_read_model_is_in_one_group() -> None:
    grouped = [projection.name for group in groups_of(PROJECTIONS) for projection in group]
    assert sorted(grouped) == sorted(projection.name for projection in PROJECTIONS)


def names(groups: Groups) -> set[str]:
    return {projection.name for projection in groups.projections}


def test_two_projectors_have_all_read_models_between_them_and_one_takes_over(database_url: str) -> None:
    everything = {projection.name for projection in PROJECTIONS}
    with Groups(database_url, PROJECTIONS) as one:
        one.settle()
        assert names(one) == everything
        with Groups(database_url, PROJECTIONS) as two:
            two.settle()
            assert not names(two), "nothing is free before the first gives its surplus up"
            one.settle()
            two.settle()
            assert names(one)
            assert names(two) == everything - names(one) != set()
        one.settle()
        assert names(one) == everything
