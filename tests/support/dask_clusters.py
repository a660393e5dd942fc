"""Clusters of Dask that tests start."""

from __future__ import annotations

import contextlib
import warnings

import dask
import distributed


@contextlib.contextmanager
def local_cluster(*, processes, workers=2, threads=2):
    """Start a cluster that waits as long as a busy machine needs."""
    patient = {
        "distributed.comm.timeouts.connect": "200s",
        "distributed.comm.timeouts.tcp": "200s",
        "distributed.scheduler.worker-ttl": None,
    }
    with warnings.catch_warnings(), dask.config.set(patient):
        warnings.simplefilter("ignore")
        with distributed.LocalCluster(
            n_workers=workers,
            threads_per_worker=threads,
            processes=processes,
            dashboard_address=None,
            protocol="tcp",
            silence_logs=50,
        ) as made:
            yield made
