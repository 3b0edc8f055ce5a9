"""The programs around evaluation: evaluate with RouteLLM's output, collect against a server, the pictures."""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import types

import numpy as np
import pytest

from conftest import GOLDENS, ROOT
from fakeserver import Answer, FakeServer, completion
from ferroute.controller import ModelPair
from ferroute.errors import FerrouteError, InvalidValueError
from ferroute.evals import collect as collecting
from ferroute.evals import compare, evaluate, plots, score_router, scoring
from ferroute.evals._tables import metrics_table
from ferroute.evals.benchmarks import GSM8K, MTBench, Table
from ferroute.evals.collect import collect

EVAL = GOLDENS / "eval"
METHODS = ("hash_uniform", "hash_coarse", "hash_skill", "hash_skewed")


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("FERROUTE_CACHE_DIR", str(tmp_path / "cache"))


def golden(name):
    return json.loads((EVAL / f"{name}.json").read_text())


def python(*arguments, check=0):
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == check, done.stderr
    return done


def png_size(path):
    header = path.read_bytes()[:24]
    assert header.startswith(b"\x89PNG\r\n\x1a\n")
    return int.from_bytes(header[16:20], "big"), int.from_bytes(header[20:24], "big")


# --- evaluate ---


@pytest.mark.parametrize("name", ["mmlu", "gsm8k", "mt_bench"])
def test_the_program_on_fixed_columns(name, tmp_path, capsys):
    want = golden(name)
    columns = {method: np.load(EVAL / f"{name}_{method}_win_rates.npy") for method in METHODS}
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table(columns), tmp_path / "rates.parquet")
    label = name.replace("_", "-")
    evaluate.main(
        [
            "--benchmark",
            label,
            "--win-rates",
            f"{tmp_path}/rates.parquet",
            "--output",
            str(tmp_path),
            "--bootstrap",
            "20",
        ]
    )
    out = capsys.readouterr().out
    lines = out.splitlines()
    assert lines[0].startswith(f"Namespace(routers=['random'], benchmark='{label}', output=")
    assert lines[1] == {"mmlu": "Running eval for full MMLU.", "gsm8k": "Running eval for GSM8k."}.get(
        name, "Running eval for MT Bench."
    )
    assert lines[2 : 2 + len(want["printed_at_load"])] == want["printed_at_load"]
    at = [i for i, line in enumerate(lines) if line.startswith("Evaluating router: hash_skill with threshold")]
    assert len(at) == 11
    point = want["points"]["hash_skill/10"][3]
    block = lines[at[3] : at[3] + 7]
    assert block[0] == f"Evaluating router: hash_skill with threshold {point['threshold']}..."
    rule = f"=============== hash_skill with threshold {point['threshold']} on {label} ==============="
    assert block[1:3] == ["", rule]
    assert block[3] == f"Average accuracy: {point['accuracy']:.3f}"
    assert f"{want['strong_model']}: {point['strong_count']}" in block[4]
    assert f"{want['strong_model']}: {point['strong_percentage']:.3f}%" in block[5]
    assert block[6] == "=" * len(rule)
    assert f"{want['weak_model']} score: {want['weak_score']}" in lines
    assert f"{want['strong_model']} score: {want['strong_score']}" in lines
    assert f"Saving plot to {tmp_path}/{label}.png" in lines
    assert png_size(tmp_path / f"{label}.png")[0] > 600
    start = lines.index("Metrics:")
    table = [line.split() for line in lines[start + 2 : start + 7]]
    assert [row[1] for row in table] == want["metrics_table_order"]
    for _, method, *figures in table:
        metrics = want["metrics"][method]
        assert figures[:3] == metrics["cpt_20_50_80_printed"]
        assert [float(figure) for figure in figures[3:]] == pytest.approx([metrics["AUC"], metrics["APGR"]], abs=6e-7)
    assert "always strong" in out


def test_the_program_as_a_module_under_both_names(tmp_path):
    for module in ("routellm.evals.evaluate", "ferroute.evals.evaluate"):
        done = python(
            "-W", "error", "-m", module, "--routers", "random", "local", "--benchmark", "mt-bench", "--output",
            str(tmp_path / "new folder"), "--random-iters", "2", "--bootstrap", "10",
        )  # fmt: skip
        assert "Metrics:" in done.stdout
        assert "local" in done.stdout
        assert (tmp_path / "new folder" / "mt-bench.png").is_file()
    done = python("-m", "ferroute.evals.evaluate", check=2)
    assert "--benchmark is required: one of mmlu, mt-bench, gsm8k" in done.stderr
    done = python("-m", "ferroute.evals.evaluate", "--benchmark", "gsm8k", "--strong-model", "gpt-9", check=1)
    assert "gsm8k has no outcomes of the model 'gpt-9'" in done.stderr


def test_several_benchmarks_and_a_plain_install(tmp_path):
    """No pandas, no matplotlib: everything but the picture."""
    code = (
        "import sys\n"
        "for name in ('pandas', 'matplotlib', 'psutil', 'pandarallel'): sys.modules[name] = None\n"
        "from ferroute.evals.evaluate import main\n"
        f"main(['--benchmark', 'gsm8k', 'mt-bench', '--output', {str(tmp_path)!r}, '--bootstrap', '10',"
        " '--routers', 'local'])\n"
    )
    done = python("-c", code)
    assert done.stdout.count("Metrics:") == 2
    assert "No plot: pictures need matplotlib" in done.stdout
    assert "Namespace(routers=['local'], benchmark=['gsm8k', 'mt-bench']" in done.stdout
    assert "local was trained on questions of gsm8k" in done.stdout


def test_import_is_free():
    code = "import ferroute.evals, ferroute.evals.benchmarks, ferroute.evals.evaluate, ferroute.evals.collect, sys\n"
    code += "print([m for m in ('numpy', 'pandas', 'matplotlib', 'pyarrow', 'openai', 'tqdm') if m in sys.modules])"
    assert python("-c", code).stdout.strip() == "[]"


@pytest.mark.parametrize("pair", [ModelPair("gpt-4-1106-preview", "mistralai/Mixtral-8x7B-Instruct-v0.1")])
def test_generate_results(pair, tmp_path, capsys):
    import pandas as pd

    want = golden("gsm8k")
    frames = []
    for method in METHODS:
        frame = pd.DataFrame(want["points"][f"{method}/10"])[["threshold", "strong_percentage", "accuracy"]]
        frames.append(frame.assign(method=method))
    frames.append(pd.DataFrame(want["random_router_points_averaged"]).assign(method="random"))
    evaluate.generate_results(pd.concat(frames), GSM8K(), "gsm8k", pair, str(tmp_path), plot_optimal=True)
    out = capsys.readouterr().out
    rows = [line.split() for line in out.split("Metrics:\n")[1].splitlines()[1:]]
    assert [row[1] for row in rows] == want["metrics_table_order"]
    for _, method, *figures in rows:
        assert figures[:3] == want["metrics"][method]["cpt_20_50_80_printed"]
        assert float(figures[3]) == pytest.approx(want["metrics"][method]["AUC"], abs=6e-7)
    assert f"Saving plot to {tmp_path}/gsm8k.png" in out
    assert (tmp_path / "gsm8k.png").is_file()


def test_generate_results_with_a_benchmark_of_ones_own(tmp_path, capsys):
    import pandas as pd

    frame = pd.DataFrame({"method": "m", "strong_percentage": [100.0, 0.0], "accuracy": [2.0, 1.0]})
    benchmark = types.SimpleNamespace(get_model_accuracy=lambda model: {"s": 2.0, "w": 1.0}[model])
    evaluate.generate_results(frame, benchmark, "own", ModelPair("s", "w"), str(tmp_path))
    assert "0      m   20.00%   50.00%   80.00%  1.5   0.5" in capsys.readouterr().out


@pytest.mark.parametrize("values", [[0.5, 1.25], [0.123456789, 12.0], [3.0, 2.0], [float("nan"), 0.1]])
def test_the_table_is_laid_out_as_pandas_does(values):
    import pandas as pd

    rows = [(i, f"method_{i}", [1.0, 22.456, 100.0], value, 1 - value) for i, value in enumerate(values)]
    frame = pd.DataFrame(
        {
            "method": [row[1] for row in rows],
            **{f"{q}% qual": [f"{row[2][i]:.2f}%" for row in rows] for i, q in enumerate((20, 50, 80))},
            "AUC": values,
            "APGR": [1 - value for value in values],
        }
    )
    assert metrics_table(rows) == frame.to_string()


def test_pretty_print_results_needs_no_globals(capsys):
    evaluate.pretty_print_results(0.5, 80.0, {"a": 3, "b": 1}, 4, "mf", "mmlu")
    assert capsys.readouterr().out.splitlines()[1] == "=============== mf with threshold 0.5 on mmlu ==============="
    evaluate.pretty_print_results(0.5, 80.0, {"a": 3, "b": 1}, 4)


def test_flags_of_the_original():
    flags = {flag for action in evaluate.parser()._actions for flag in action.option_strings}
    assert {
        "--routers", "--benchmark", "--output", "--overwrite-cache", "--parallel", "--strong-model", "--weak-model",
        "--config", "--num-results", "--random-iters",
    } <= flags  # fmt: skip
    args = evaluate.parser().parse_args(["--benchmark", "mmlu"])
    assert isinstance(args, argparse.Namespace)
    assert (args.routers, args.output, args.overwrite_cache, args.num_results, args.random_iters) == (
        ["random"], ".", [], 10, 10,
    )  # fmt: skip
    assert args.weak_model == "mistralai/Mixtral-8x7B-Instruct-v0.1"


@pytest.fixture
def outcomes(tmp_path):
    rng = np.random.default_rng(0)
    path = tmp_path / "own.jsonl"
    with path.open("w") as file:
        for i in range(80):
            row = {"prompt": "word " * int(rng.integers(1, 40)) + str(i), "strong": 1, "weak": int(rng.random() < 0.6)}
            row |= {"strong_cost": 0.01, "weak_cost": 0.001}
            file.write(json.dumps(row) + "\n")
    return path


def test_own_data(outcomes, tmp_path):
    done = python(
        "-m", "ferroute.evals.evaluate", "--data", str(outcomes), "--routers", "local", "--output", str(tmp_path),
        "--bootstrap", "20", "--more-plots",
    )  # fmt: skip
    for name in ("cost", "local-scores", "local-reliability"):
        assert png_size(tmp_path / f"own-{name}.png")[0] > 600
    assert "80 prompts." in done.stdout
    assert "$ at 95%" in done.stdout
    assert (tmp_path / "own.png").is_file()


def test_columns_of_win_rates(outcomes, tmp_path, capsys):
    rng = np.random.default_rng(1)
    table = tmp_path / "rates.csv"
    columns = {
        "": range(80),
        "row": range(80),
        "mine": rng.random(80),
        "tokens": range(80),
        "__index_level_0__": range(80),
    }
    table.write_text(
        "\n".join([",".join(columns), *(",".join(map(str, row)) for row in zip(*columns.values(), strict=True))])
    )
    arguments = ["--data", str(outcomes), "--routers", "local", "--output", str(tmp_path), "--bootstrap", "0"]
    evaluate.main([*arguments, "--win-rates", str(table)])
    out, err = capsys.readouterr()
    assert {line.split()[2] for line in out.splitlines() if line.startswith("Evaluating router:")} == {"local", "mine"}
    assert "column tokens is left out" in err
    table.write_text("mine\n" + "0.5\n" * 79 + "nan\n")
    with pytest.raises(SystemExit):
        evaluate.main([*arguments, "--win-rates", str(table)])
    assert "rates.csv: column mine: expected finite win rates, found nan in row 79" in capsys.readouterr().err
    table.write_text("row\n" + "1\n" * 80)
    with pytest.raises(SystemExit):
        evaluate.main([*arguments, "--win-rates", str(table)])
    assert "no column of win rates" in capsys.readouterr().err


def test_errors_of_evaluate_are_one_line(outcomes, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    (tmp_path / "bad.yaml").write_text("a: [")
    (tmp_path / "own.png").mkdir()
    base = ["--data", str(outcomes), "--routers", "local", "--bootstrap", "0"]
    for more, message in (
        (["--config", str(tmp_path / "none.yaml")], "no such configuration file"),
        (["--config", str(tmp_path / "bad.yaml")], "not readable as YAML"),
        (["--output", str(tmp_path / "file")], "file"),
        (["--output", str(tmp_path)], "own.png"),
        (["--import", "no_such_module_at_all"], "--import: No module named"),
    ):
        with pytest.raises(SystemExit) as ended:
            evaluate.main([*base, *more])
        assert ended.value.code == 1
        (said,) = [
            line for line in capsys.readouterr().err.splitlines() if line.startswith("ferroute.evals.evaluate: ")
        ]
        assert message in said


def test_a_module_of_ones_own_is_imported_first(outcomes, tmp_path):
    (tmp_path / "mine.py").write_text(
        "from ferroute.routers.routers import ROUTER_CLS, Router\n"
        "class Mine(Router):\n"
        "    def calculate_strong_win_rate(self, prompt):\n"
        "        return min(len(prompt) / 250, 1.0)\n"
        "ROUTER_CLS['mine'] = ROUTER_CLS['prompt length'] = Mine\n"
    )
    ours = ["-m", "ferroute", "evaluate", "--data", str(outcomes), "--router", "mine", "--import", "mine"]
    theirs = ["-m", "ferroute.evals.evaluate", "--data", str(outcomes), "--routers", "mine", "prompt length"]
    for words in (ours, [*theirs, "--import", "mine", "--output", str(tmp_path)]):
        done = subprocess.run(
            [sys.executable, *words, "--bootstrap", "0"], capture_output=True, text=True, check=False, cwd=tmp_path
        )
        assert done.returncode == 0, done.stderr
        assert "mine" in done.stdout


def ferroute(*arguments, check=0):
    return python("-m", "ferroute", *arguments, check=check)


def test_the_command(outcomes, tmp_path):
    png = tmp_path / "q.png"
    done = ferroute("evaluate", "--data", str(outcomes), "--router", "local", "--bootstrap", "20", "--png", str(png))
    assert "always strong" in done.stdout
    assert png_size(png)[0] > 600
    done = ferroute("evaluate", "--benchmark", "mt-bench", "--router", "random", "--bootstrap", "20", "--json")
    record = json.loads(done.stdout)
    assert record["prompts"] == 72
    assert record["results"][0]["router"] == "random"
    assert len(record["points"]["random"]) == 11
    assert "give --benchmark" in ferroute("evaluate", check=2).stderr
    assert "found imagenet" in ferroute("evaluate", "--benchmark", "imagenet", check=2).stderr
    assert (
        "no column 'c'" in ferroute("evaluate", "--data", str(outcomes), "--columns", "prompt,c,weak", check=1).stderr
    )


# --- collect ---


class Models(FakeServer):
    """Answers sums rightly as `big`, and only small ones as `small`."""

    def _usual(self, request, status):
        if status != 200:
            return super()._usual(request, status)
        asked = request.json
        prompt = asked["messages"][-1]["content"]
        if asked["model"] == "judge":
            said = "Good enough. Rating: [[7]]" if "Answer:\n12" in prompt else "No. Rating: [[2]]"
        else:
            a, b = (int(part) for part in prompt.split("+"))
            said = str(a + b if asked["model"] == "big" or a + b < 10 else 0)
        return 200, json.dumps(completion(asked["model"], said)).encode(), None


PROMPTS = [f"{i}+{i}" for i in range(12)]
SUMS = [f"#### {2 * i}" for i in range(12)]


@pytest.fixture
def server(monkeypatch):
    with Models() as running:
        monkeypatch.setenv("OPENAI_BASE_URL", running.url)
        monkeypatch.setenv("OPENAI_API_KEY", "not-a-key")
        yield running


def ends(server, name="big"):
    return {"model": name, "api_base": server.url, "api_key": "k"}


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet", None])
def test_collect(server, tmp_path, suffix):
    output = None if suffix is None else tmp_path / f"outcomes{suffix}"
    done = collect(
        PROMPTS, ends(server), ends(server, "small"), "number", references=SUMS, output=output, progress=False,
        keep_answers=True, temperature=0,
    )  # fmt: skip
    assert len(server.requests) == 24
    assert all(request.json["temperature"] == 0 for request in server.requests)
    assert [row["strong"] for row in done.rows] == [1.0] * 12
    assert [row["weak"] for row in done.rows] == [1.0] * 5 + [0.0] * 7
    assert done.rows[7]["strong_answer"] == "14"
    assert done.rows[7]["strong_prompt_tokens"] == 9
    assert not done.errors
    if output is not None:
        table = Table(output)
        assert table.prompts() == PROMPTS
        assert table.get_model_accuracy("weak") == pytest.approx(5 / 12)
        again = collect(
            PROMPTS, ends(server), ends(server, "small"), "number", references=SUMS, output=output, progress=False,
            temperature=0,
        )  # fmt: skip
        assert len(server.requests) == 24, "nothing is asked twice"
        assert [row["weak"] for row in again.rows] == [row["weak"] for row in done.rows]
        assert sorted(path.name for path in tmp_path.iterdir()) == [output.name]
    assert done.table().routed_pair == ModelPair("big", "small")


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
def test_failed_rows_keep_their_error_and_are_asked_again(server, tmp_path, suffix):
    output = tmp_path / f"outcomes{suffix}"
    models = (ends(server) | {"max_retries": 0}, ends(server, "small") | {"max_retries": 0})
    server.then(*[Answer(status=400)] * 3)
    first = collect(PROMPTS, *models, "number", references=SUMS, output=output, concurrency=1, progress=False)
    assert 1 <= len(first.errors) <= 3
    assert "BadRequestError" in first.errors[0]["error"]
    assert first.errors[0]["strong"] is None or first.errors[0]["weak"] is None
    assert Table(output).skipped == len(first.errors)
    before = len(server.requests)
    second = collect(PROMPTS, *models, "number", references=SUMS, output=output, concurrency=1, progress=False)
    assert len(server.requests) - before == 2 * len(first.errors)
    assert not second.errors
    assert Table(output).skipped == 0


def test_a_run_that_was_killed_goes_on(server, tmp_path):
    output = tmp_path / "outcomes.jsonl"
    arguments = (PROMPTS, ends(server), ends(server, "small"), "number")
    collect(*arguments, references=SUMS, output=output, progress=False)
    lines = output.read_text().splitlines(keepends=True)
    output.write_text("".join(lines[:4]) + lines[4][:30])
    server.requests.clear()
    done = collect(*arguments, references=SUMS, output=output, progress=False)
    assert len(server.requests) == 16
    assert [row["row"] for row in done.rows] == list(range(12))
    assert len(output.read_text().splitlines()) == 12


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
def test_only_outcomes_of_the_same_kind_are_kept(server, tmp_path, suffix):
    output = tmp_path / f"outcomes{suffix}"

    def run(score="number", references=SUMS, **more):
        pair = (ends(server), ends(server, "small"))
        return collect(PROMPTS, *pair, score, references=references, output=output, progress=False, **more)

    run(system="Be brief.", temperature=0)
    content, asked = output.read_bytes(), len(server.requests)
    kept = {"system": "Be brief.", "temperature": 0}
    for change, message in (
        ({"score": "exact"}, "marked with 'number', not 'exact'; name another file"),
        ({"score": lambda *_: 1.0}, "marked with 'number', not '.*lambda"),
        ({"references": ["7", *SUMS[1:]]}, "row 0 was marked with the reference '#### 0', not '7'"),
        ({"references": None, "score": "number"}, "compares with references"),
        ({"system": "Think."}, "another system message or with other options"),
        ({"temperature": 1}, "another system message or with other options"),
        ({"max_tokens": 5}, "another system message or with other options"),
    ):
        with pytest.raises(InvalidValueError, match=message):
            run(**{**kept, **change})
    run(**kept, timeout=99)
    assert len(server.requests) == asked
    assert output.read_bytes() == content


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
def test_fewer_prompts_leave_the_other_rows_in_the_file(server, tmp_path, suffix):
    output = tmp_path / f"outcomes{suffix}"
    pair = (ends(server), ends(server, "small"), "number")
    collect(PROMPTS, *pair, references=SUMS, output=output, progress=False)
    few = collect(PROMPTS[:3], *pair, references=SUMS[:3], output=output, progress=False)
    assert [row["row"] for row in few.rows] == [0, 1, 2]
    assert Table(output).prompts() == PROMPTS
    collect(PROMPTS, *pair, references=SUMS, output=output, progress=False)
    assert len(server.requests) == 24


@pytest.mark.parametrize(
    "content",
    ['{"question": "1+1"}\n{"question": "2+2"}\n', "a line of text", "[1]\n", '{"row": 0, "prompt": "x"}\n', "5\n"],
)
def test_files_of_somebody_else_are_left_as_they_are(server, tmp_path, content):
    from ferroute import _core

    output = tmp_path / "notes.jsonl"
    output.write_text(content)
    pair = (ends(server), ends(server, "small"), "regex:x")
    with pytest.raises(InvalidValueError, match="no outcome of an earlier run"):
        collect(PROMPTS, *pair, output=output, progress=False)
    assert output.read_text() == content
    table = tmp_path / "prompts.parquet"
    for columns in ({"prompt": PROMPTS}, {"prompt": PROMPTS, "row": PROMPTS, "strong_model": PROMPTS}):
        _core.write_columns(table, columns)
        before = table.read_bytes()
        with pytest.raises(InvalidValueError, match="no outcome of an earlier run"):
            collect(PROMPTS, *pair, output=table, progress=False)
        assert table.read_bytes() == before
    table.write_bytes(b"no parquet")
    with pytest.raises(FerrouteError):
        collect(PROMPTS, *pair, output=table, progress=False)
    assert table.read_bytes() == b"no parquet"
    (tmp_path / "folder.jsonl").mkdir()
    with pytest.raises(InvalidValueError, match="is a folder"):
        collect(PROMPTS, *pair, output=tmp_path / "folder.jsonl", progress=False)
    assert not server.requests


def test_bounded_concurrency(server):
    running, most = 0, 0

    async def slow(**kwargs):
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.005)
        running -= 1
        message = types.SimpleNamespace(content="1")
        return types.SimpleNamespace(choices=[types.SimpleNamespace(message=message)], usage=None)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ferroute.controller.acompletion", slow)
        collect(PROMPTS, "a", "b", lambda *_: 1, concurrency=3, progress=False)
    assert most == 3


def test_inside_a_running_loop(server):
    async def cell():
        return collect(PROMPTS[:2], ends(server), ends(server, "small"), lambda *_: 1, progress=False)

    assert len(asyncio.run(cell()).rows) == 2


def test_scores_of_ones_own_and_judges(server):
    async def own(prompt, answer, reference):
        await asyncio.sleep(0)
        return len(answer)

    done = collect(PROMPTS, ends(server), ends(server, "small"), own, progress=False)
    assert [row["strong"] for row in done.rows][4:6] == [1, 2]
    judged = collect(PROMPTS[6:8], ends(server), ends(server, "small"), "judge:openai/judge", progress=False)
    assert [(row["strong"], row["weak"]) for row in judged.rows] == [(7, 2), (2, 2)]
    bad = collect(PROMPTS[:1], ends(server), ends(server, "small"), lambda *_: float("nan"), progress=False)
    assert "the score is nan" in bad.errors[0]["error"]


def test_dollars_where_the_price_is_known(server):
    model = {"api_base": server.url, "api_key": "k"}
    done = collect(["1+1"], {"model": "gpt-5.2", **model}, {"model": "homemade", **model}, lambda *_: 1, progress=False)
    from ferroute import pricing

    price = pricing.price("gpt-5.2")
    assert done.rows[0]["strong_cost"] == pytest.approx(float(9 * price.input + 2 * price.output) / 1e6)
    assert done.rows[0]["weak_cost"] is None


def test_bad_requests_to_collect(server, tmp_path):
    pair = (ends(server), ends(server, "small"))
    with pytest.raises(ValueError, match="compares with references"):
        collect(PROMPTS, *pair, "exact")
    with pytest.raises(ValueError, match="expected one of exact"):
        collect(PROMPTS, *pair, "vibes")
    with pytest.raises(ValueError, match="12 references"):
        collect(PROMPTS, *pair, "exact", references=SUMS[:3])
    with pytest.raises(ValueError, match="no prompt"):
        collect([], *pair, "regex:x")
    with pytest.raises(TypeError, match="single string"):
        collect("1+1", *pair, "regex:x")
    with pytest.raises(ValueError, match=r"ends in \.jsonl or \.parquet"):
        collect(PROMPTS, *pair, "regex:x", output=tmp_path / "x.csv")
    output = tmp_path / "o.jsonl"
    collect(PROMPTS[:2], *pair, "regex:[0-9]", output=output, progress=False)
    with pytest.raises(ValueError, match="other prompts"):
        collect(PROMPTS[1:3], *pair, "regex:[0-9]", output=output, progress=False)
    with pytest.raises(ValueError, match="outcomes of 'big', not 'small'"):
        collect(PROMPTS[:2], pair[1], pair[0], "regex:[0-9]", output=output, progress=False)


@pytest.mark.parametrize(
    ("score", "answer", "reference", "mark"),
    [
        ("exact", " The  Cat ", "the cat", 1),
        ("exact", "the cats", "the cat", 0),
        ("contains", "It is THE\ncat.", "the cat", 1),
        ("choice", "The answer is (B).", "B", 1),
        ("choice", "C) because A is wrong", "C", 1),
        ("choice", "**D**", "D", 1),
        ("choice", "Not A, so it must be B", "B", 1),
        ("choice", "I think that a dog barks", "A", 0),
        ("choice", "The correct answer: **B**, not C", "B", 1),
        ("choice", "no letter", "A", 0),
        ("number", "so 1,234 in all", "#### 1234", 1),
        ("number", "costs $5.50.", "5.5", 1),
        ("number", "-3", "3", 0),
        ("number", "none", "3", 0),
        ("number", "1e3", "1000", 1),
    ],
)
def test_scorers(score, answer, reference, mark):
    assert scoring.SIMPLE[score]("", answer, reference) == mark


def test_scorers_that_need_something():
    with pytest.raises(InvalidValueError, match="needs a reference"):
        scoring.exact("", "x", None)
    with pytest.raises(InvalidValueError, match="has no number"):
        scoring.number("", "1", "none")
    with pytest.raises(InvalidValueError, match="not a regular expression"):
        scoring.regex("(")
    assert scoring.regex(None)("", "abc", "b") == 1
    assert scoring.regex("^b")("", "abc", None) == 0


def test_collect_from_the_command_line(server, tmp_path):
    source = tmp_path / "sums.jsonl"
    with source.open("w") as file:
        for prompt, answer in zip(PROMPTS, SUMS, strict=True):
            file.write(json.dumps({"question": prompt, "answer": answer}) + "\n")
    output = tmp_path / "outcomes.parquet"
    arguments = ["collect", "--file", str(source), "--score", "number", "--output", str(output)]
    models = ["--strong", "openai/big", "--weak", "openai/small"]
    done = ferroute(*arguments, *models)
    assert "12 prompts, outcomes in" in done.stdout
    record = json.loads(ferroute(*arguments, *models, "--json").stdout)
    assert (record["rows"], record["failed"], record["weak_score"]) == (12, 0, pytest.approx(5 / 12))
    assert len(server.requests) == 24
    shown = ferroute("evaluate", "--data", str(output), "--bootstrap", "20").stdout
    assert "always weak" in shown
    assert "no column nothing" in ferroute(*arguments, *models, "--column", "nothing", check=2).stderr
    assert "outcomes of 'openai/big'" in ferroute(*arguments, "--strong", "openai/other", check=1).stderr


@pytest.mark.parametrize("module", ["evals.mmlu.generate_responses", "evals.gsm8k.generate_responses"])
def test_generators_point_to_the_command(module):
    for package in ("ferroute", "routellm"):
        assert "ferroute collect" in python("-m", f"{package}.{module}", check=1).stderr
    python("-c", f"import routellm.{module}")


def test_half_a_line_at_the_end_is_closed(tmp_path):
    path = tmp_path / "x"
    for content, want in ((b"", b""), (b"a\n", b"a\n"), (b"a", b"a\n")):
        path.write_bytes(content)
        collecting._end_last_line(path)
        assert path.read_bytes() == want


# --- pictures ---


@pytest.fixture
def compared():
    rng = np.random.default_rng(0)
    strong, weak = rng.random(120) < 0.9, rng.random(120) < 0.6
    texts = ["x" * int(n) for n in rng.integers(1, 99, 120)]
    return compare(
        {"one": rng.random(120), "two": rng.random(120)}, strong, weak, prompts=texts, costs=(1, 0.1), bootstrap=30
    )


@pytest.mark.parametrize("kind", ["quality", "cost"])
def test_pictures_of_comparisons(compared, kind, tmp_path):
    pytest.importorskip("matplotlib").use("Agg")
    axes = compared.plot(kind)
    lines = {line.get_label().split(":")[0]: line for line in axes.get_lines()}
    assert {"one", "two", "random mixing", "prompt length", "regex rules"} <= set(lines)
    field = "strong_percentage" if kind == "quality" else "cost"
    x, y = lines["one"].get_data()
    points = compared["one"].points
    assert sorted(zip(x, y, strict=True)) == sorted(zip(points[field], points.accuracy, strict=True))
    assert (np.diff(x) >= 0).all()
    assert len(axes.collections) == 2, "a band for each router"
    axes.figure.savefig(tmp_path / "x.png")
    assert png_size(tmp_path / "x.png")[0] > 600


def test_other_pictures(compared, tmp_path):
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    axes = compared["one"].plot("scores")
    assert len(axes.get_lines()) == 9, "thresholds between the ends"
    with pytest.raises(ValueError, match="no scores of its own"):
        compared["optimum"].plot("scores")
    with pytest.raises(ValueError, match="expected 'quality'"):
        compared.plot("speed")
    free = score_router([0.1, 0.2], [1, 1], [0, 0], 1, bootstrap=0)
    with pytest.raises(ValueError, match="no costs"):
        free.plot("cost")
    with pytest.raises(ValueError, match="empty"):
        plots.score_histogram([])
    rates = np.linspace(0, 1, 100)
    groups = plots.reliability(rates, (rates > 0.5).astype(float), np.full(100, 0.5), bins=4)
    assert [group["won"] for group in groups] == [0, 0, 1, 1]
    assert [group["rows"] for group in groups] == [25] * 4
    coarse = plots.reliability(np.round(rates, 1), (rates > 0.5).astype(float), np.full(100, 0.5), bins=4)
    edges = np.cumsum([int(group["rows"]) for group in coarse])[:-1]
    assert all(np.round(rates, 1)[edge - 1] < np.round(rates, 1)[edge] for edge in edges), "equal scores stay together"
    assert len(plots.reliability([0.5] * 9, [1.0] * 9, [0.0] * 9)) == 1
    tie = plots.reliability([0.3], [1.0], [1.0])
    assert tie[0]["won"] == 0.5
    axes = plots.reliability_diagram(rates, rates, 1 - rates, label="perfect")
    axes.figure.savefig(tmp_path / "r.png")
    matplotlib.pyplot.close("all")


def test_benchmark_picture_has_the_originals_labels():
    line = evaluate.Line("mf", np.array([0.0, 100.0]), np.array([1.0, 2.0]), np.array([[0.9, 1.1], [1.8, 2.2]]))
    figure = plots.benchmark_figure([line], "mmlu", ModelPair("S", "W"), (1.0, 2.0), [(0, 1.0), (100, 2.0)])
    axes = figure.axes[0]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("Strong Model Calls (%)", "Performance")
    assert axes.get_title() == "Router Performance (mmlu)"
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["mf", "W", "S", "Optimal"]
    figure = plots.benchmark_figure([line], "mmlu", ModelPair("S", "W"), (1.0, 2.0), baselines=[line])
    legend = figure.axes[0].get_legend().get_texts()
    assert [text.get_text() for text in legend] == ["mf", "mf (router)", "W", "S"]


def test_the_committed_pictures_are_small():
    for path in (ROOT / "docs" / "images").glob("*.png"):
        assert path.stat().st_size < 120_000, path
        assert png_size(path)[0] >= 600


def test_mt_bench_prints_that_there_is_no_cache_only_then(capsys):
    from ferroute.controller import Controller

    benchmark = MTBench()
    assert "Error loading MT Bench cache" in capsys.readouterr().out
    benchmark.win_rates(Controller(["local"], "s", "w"), "local")
    MTBench()
    assert "Error loading MT Bench cache" not in capsys.readouterr().out
