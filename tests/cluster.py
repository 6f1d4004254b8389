"""One local cluster of Ray that many runs share."""

from contextlib import contextmanager

from coplay.engines.ray import Ray
from coplay.engines.ray_cluster import loopback


@contextmanager
def shared_cluster():
    """Share a cluster and its resting processes: their starts would take most of the time."""
    import ray  # an extra: who only names this may lack it

    with loopback(ray):
        ray.init(
            "local",
            num_cpus=0,
            include_dashboard=False,
            object_store_memory=2**28,
            log_to_driver=False,
            logging_level="error",
            namespace="tests",
        )
    finish = Ray.finish
    Ray.finish = lambda self: None
    try:
        yield
    finally:
        Ray.finish = finish
        Ray().finish()
        ray.shutdown()
