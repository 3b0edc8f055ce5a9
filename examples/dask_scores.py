"""Scores a partitioned data set on a Dask cluster: how to go on when one machine is not enough.

    pip install ferroute "dask[dataframe]" distributed
    python examples/dask_scores.py prompts/ scores/ [--scheduler tcp://host:8786] [--workers 2]

`prompts/` holds Parquet files with a column `prompt`; `scores/` gets files with the same rows and a column `win_rate`.
The router is made once, pickled, and sent to the workers with the work. A partition is scored in one piece on one
worker, so memory is bounded by the largest partition, and the numbers are those of a single process, to the last bit.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd


def score(frame: pd.DataFrame, router: Any) -> pd.DataFrame:
    """The frame with a column `win_rate`, float64."""
    return frame.assign(win_rate=router.calculate_strong_win_rates(frame["prompt"].tolist()))


def score_folder(source: str, target: str, router: Any) -> None:
    """Scores every partition of `source` on the cluster of the current client, and writes it to `target`."""
    import dask.dataframe as dd

    prompts = dd.read_parquet(source)
    scored = prompts.map_partitions(score, router, meta=prompts._meta.assign(win_rate=0.0))
    scored.to_parquet(target, write_index=False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", help="folder of Parquet files with a column prompt")
    parser.add_argument("target", help="folder to write")
    parser.add_argument("--scheduler", help="address of a cluster that runs (default: one on this machine)")
    parser.add_argument("--workers", type=int, default=2, help="processes of the cluster on this machine")
    args = parser.parse_args()

    from dask.distributed import Client, LocalCluster

    from ferroute.routers.routers import LocalRouter

    if args.scheduler:
        with Client(args.scheduler):
            score_folder(args.source, args.target, LocalRouter())
        return
    # On the loopback interface only, and without the dashboard.
    with (
        LocalCluster(n_workers=args.workers, threads_per_worker=1, host="127.0.0.1", dashboard_address=None) as cluster,
        Client(cluster),
    ):
        score_folder(args.source, args.target, LocalRouter())


if __name__ == "__main__":
    main()
