"""A partitioned data set scored by a local Dask cluster equals one process, to the last bit."""

from __future__ import annotations

import os
import subprocess
import sys
from itertools import pairwise

import pytest

from conftest import ROOT
from ferroute.routers.routers import LocalRouter

pandas = pytest.importorskip("pandas")
pytest.importorskip("dask.dataframe")
pytest.importorskip("distributed")


@pytest.mark.timeout(240)
def test_a_cluster_scores_as_one_process_does(tmp_path):
    source, target = tmp_path / "prompts", tmp_path / "scores"
    source.mkdir()
    everyday = (ROOT / "data" / "everyday.jsonl").read_text(encoding="utf-8")
    prompts = pandas.read_json(pandas.io.common.StringIO(everyday), lines=True)["prompt"].tolist()
    cuts = [0, 1, 300, 301, 800, len(prompts)]
    for number, (start, end) in enumerate(pairwise(cuts)):
        part = pandas.DataFrame({"id": range(start, end), "prompt": prompts[start:end]})
        part.to_parquet(source / f"part-{number}.parquet")
    script = ROOT / "examples" / "dask_scores.py"
    environment = {**os.environ, "DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT": "60s"}
    done = subprocess.run(
        [sys.executable, str(script), str(source), str(target)],
        capture_output=True, text=True, check=False, timeout=200, env=environment,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    files = sorted(target.glob("*.parquet"))
    assert len(files) == 5
    found = pandas.concat([pandas.read_parquet(path) for path in files]).sort_values("id")
    assert found["prompt"].tolist() == prompts
    assert found["win_rate"].tolist() == LocalRouter().calculate_strong_win_rates(prompts).tolist()
