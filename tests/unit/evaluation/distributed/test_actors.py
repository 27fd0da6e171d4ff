import pytest

from mlbench.evaluation.distributed.ray_cluster import WorkerResources


@pytest.mark.parametrize(
    ("demand", "resources", "fits"),
    [
        (WorkerResources(1, 0), {"CPU": 8.0, "memory": 1e9}, 8),
        (WorkerResources(3, 0), {"CPU": 8.0}, 2),
        (WorkerResources(1, 1), {"CPU": 8.0, "GPU": 2.0}, 2),
        (WorkerResources(4, 1), {"CPU": 8.0, "GPU": 4.0}, 2),
        (WorkerResources(1, 1), {"CPU": 8.0}, 0),
        (WorkerResources(1, 0), {"CPU": 0.5}, 0),
        (WorkerResources(1, 0), {}, 0),
    ],
)
def test_a_node_holds_as_many_workers_as_it_has_room_for(
    demand: WorkerResources, resources: dict[str, float], fits: int
) -> None:
    assert demand.fits(resources) == fits


def test_a_demand_says_what_it_is() -> None:
    assert (str(WorkerResources(2, 0)), str(WorkerResources(4, 1))) == ("2 CPU", "4 CPU and 1 GPU")
