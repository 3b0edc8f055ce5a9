"""From logs to a certificate: `ferroute.prove` and the commands `prove`, `fit` and `certify`."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import ferroute
from ferroute import calibrate, pricing
from ferroute.errors import InvalidTypeError, InvalidValueError, MissingFileError
from ferroute.evals.benchmarks import MMLU


@pytest.fixture(scope="module")
def traffic():
    """Prompts with both models' scores: 2,000 of MMLU."""
    benchmark = MMLU()
    prompts = benchmark.prompts()
    strong, weak = (np.asarray(scores) / 100 for scores in benchmark.scores())
    rows = np.random.default_rng(11).permutation(len(prompts))[:2000]
    return [prompts[row] for row in rows], strong[rows], weak[rows]


@pytest.fixture(scope="module")
def logs(traffic, tmp_path_factory):
    path = tmp_path_factory.mktemp("logs") / "logs.jsonl"
    with path.open("w") as file:
        for prompt in traffic[0]:
            usage = {"prompt_tokens": len(prompt) // 4, "completion_tokens": 150}
            file.write(json.dumps({"model": "gpt-5.5", "prompt": prompt, "usage": usage}) + "\n")
    return path


def fill_in(path, traffic, to=None, *, every=1):
    truth = {prompt: (s, w) for prompt, s, w in zip(*traffic, strict=True)}
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    for row in rows[::every]:
        row["strong_score"], row["weak_score"] = truth[row["prompt"]]
    to = to or path.with_name("labels.jsonl")
    to.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return to


OF_LOGS = {"to": "gpt-5.4-mini", "at": "2026-11-01"}


@pytest.fixture(scope="module")
def proven(logs, traffic, tmp_path_factory):
    folder = tmp_path_factory.mktemp("proof")
    first = ferroute.prove(logs, folder=folder, k=1500, **OF_LOGS)
    labels = fill_in(folder / "to_label.jsonl", traffic)
    return first, ferroute.prove(logs, labels, folder=folder, **OF_LOGS), labels


def test_without_labels_nothing_is_promised(proven):
    first, _, _ = proven
    assert first.router is None
    assert first.certificate is None
    assert first.audit.verdict == "quality: not yet proven"
    assert "strong_score" in repr(first)
    assert first.promise() == "Nothing is proven: every call stays with the strong model."
    with pytest.raises(InvalidValueError, match="needs labels="):
        first.usage()


def test_labels_lead_to_a_certificate_that_holds(proven, traffic):
    _, proof, _ = proven
    assert {path.name for path in proof.folder.iterdir()} >= {
        "audit.html", "to_label.jsonl", "router.safetensors", "certificate.json",
    }  # fmt: skip
    certificate = proof.certificate
    assert certificate.certified
    assert 0.1 < certificate.weak_share < 1
    # Half of the 1,500 labels: the other half fitted the router.
    assert certificate.n == 750
    prompts, strong, weak = traffic
    moved = ferroute.load_router(proof.folder / "router.safetensors").win_rates(prompts) < certificate.threshold
    assert np.mean((strong - weak) * moved) < certificate.max_quality_loss
    assert f"{certificate.weak_share:.1%} of the calls of gpt-5.5 may go to gpt-5.4-mini" in proof.promise()
    # The forecast is for the share that is proven.
    assert proof.audit.saving.move == certificate.weak_share


def test_the_usage_it_shows_works(proven, monkeypatch):
    _, proof, _ = proven
    monkeypatch.chdir(proof.folder)
    code = proof.usage().replace("strong_model=...", "strong_model='gpt-5.5'")
    code = code.replace("weak_model=...", "weak_model='gpt-5.4-mini'").replace(
        'client.chat.completions.create(model="router-mine", messages=[...])',
        'decisions = [client.decide(p, router="mine") for p in PROMPTS]',
    )
    prompts = ["hi", "Prove that there are infinitely many primes."]
    space = {"Controller": ferroute.Controller, "ferroute": ferroute, "PROMPTS": prompts}
    exec(code, space)
    rates = proof.router.win_rates(prompts)
    for decision, rate in zip(space["decisions"], rates, strict=True):
        assert decision.threshold == proof.certificate.threshold
        assert decision.model == ("gpt-5.5" if rate >= decision.threshold else "gpt-5.4-mini")


def test_the_same_seed_proves_the_same(proven, logs, tmp_path):
    _, proof, labels = proven
    again = ferroute.prove(logs, labels, folder=tmp_path, **OF_LOGS)
    one, two = ({**each.certificate.as_dict(), "created": None} for each in (again, proof))
    assert one == two
    assert (tmp_path / "router.safetensors").exists()


def test_a_judge_is_named(proven, logs, tmp_path):
    _, _, labels = proven
    proof = ferroute.prove(logs, labels, folder=tmp_path, judge="gpt-5.5", **OF_LOGS)
    assert proof.certificate.judge == "gpt-5.5"
    assert "relative to the judge gpt-5.5" in " ".join(repr(proof).split())


def test_too_few_labels_are_refused(logs, traffic, tmp_path):
    ferroute.prove(logs, folder=tmp_path, k=60, **OF_LOGS)
    labels = fill_in(tmp_path / "to_label.jsonl", traffic, every=2)
    with pytest.raises(InvalidValueError, match="at least 40 prompts, found both for 30"):
        ferroute.prove(logs, labels, folder=tmp_path, **OF_LOGS)
    with pytest.raises(MissingFileError):
        ferroute.prove(logs, tmp_path / "none.jsonl", folder=tmp_path, **OF_LOGS)


def test_labels_of_other_logs_are_refused(proven, logs, tmp_path):
    _, _, labels = proven
    lines = logs.read_text().splitlines(keepends=True)
    for name, other in (("turned.jsonl", lines[::-1]), ("cut.jsonl", lines[:200])):
        (tmp_path / name).write_text("".join(other))
        with pytest.raises(InvalidValueError, match="other logs"):
            ferroute.prove(tmp_path / name, labels, folder=tmp_path, **OF_LOGS)
    assert not (tmp_path / "certificate.json").exists()


def test_what_follows_from_the_labels_cannot_be_given(logs, tmp_path):
    with pytest.raises(InvalidTypeError, match="move, router cannot be given"):
        ferroute.prove(logs, folder=tmp_path, router="local", move=0.5)


def test_labels_drawn_below_a_ceiling_are_for_another_router(logs, traffic, tmp_path):
    audit = ferroute.audit(logs, k=100, **OF_LOGS)
    assert audit.ceiling is not None
    audit.save_labels(tmp_path / "to_label.jsonl")
    labels = fill_in(tmp_path / "to_label.jsonl", traffic)
    with pytest.raises(InvalidValueError, match="below a ceiling"):
        ferroute.prove(logs, labels, folder=tmp_path, **OF_LOGS)


def ferroute_command(*arguments, folder):
    command = [sys.executable, "-W", "error", "-m", "ferroute", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, check=False)


def test_the_commands(proven, logs, traffic, tmp_path):
    done = ferroute_command("prove", logs, "--to", "gpt-5.4-mini", "-k", 400, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "quality: not yet proven" in done.stdout
    labels = fill_in(tmp_path / "proof" / "to_label.jsonl", traffic)

    done = ferroute_command("prove", logs, "--to", "gpt-5.4-mini", "--labels", labels, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Certificate" in done.stdout
    assert (tmp_path / "proof" / "certificate.json").exists()

    done = ferroute_command("fit", labels, "--out", "mine.safetensors", "--json", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["path"] == "mine.safetensors"
    assert isinstance(report["better_than_random"], bool)

    done = ferroute_command("certify", labels, "--router", "local", "--out", "c.json", "--json", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == calibrate.Certificate.load(tmp_path / "c.json").as_dict()


def test_logs_with_columns_of_their_own(traffic, tmp_path):
    logs = tmp_path / "calls.csv"
    with logs.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["question", "engine", "in", "out"])
        writer.writerows([prompt, "gpt-5.5", 100, 50] for prompt in traffic[0][:500])
    names = ["prompt=question", "model=engine", "prompt_tokens=in", "completion_tokens=out"]
    columns = [part for name in names for part in ("--column", name)]
    asked = ["prove", logs, "--format", "table", *columns, "--to", "gpt-5.4-mini", "--at", "2026-11-01"]
    done = ferroute_command(*asked, "-k", 200, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Audit of 500 calls" in done.stdout
    labels = fill_in(tmp_path / "proof" / "to_label.jsonl", traffic)
    done = ferroute_command(*asked, "--labels", labels, folder=tmp_path)
    assert done.returncode == 0, done.stderr


def test_labels_certify_no_router_that_was_fitted_to_them(proven, tmp_path):
    _, _, labels = proven
    done = ferroute_command("fit", labels, "--out", "mine.safetensors", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    done = ferroute_command("certify", labels, "--router", "mine.safetensors", folder=tmp_path)
    assert done.returncode == 2
    assert "it has not seen" in done.stderr


def test_certify_wants_the_logs_of_labels_below_a_ceiling(logs, traffic, tmp_path):
    ferroute.audit(logs, k=300, **OF_LOGS).save_labels(tmp_path / "to_label.jsonl")
    labels = fill_in(tmp_path / "to_label.jsonl", traffic)
    done = ferroute_command("certify", labels, folder=tmp_path)
    assert done.returncode == 2
    assert "--logs" in done.stderr
    done = ferroute_command("certify", labels, "--logs", logs, "--json", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["n"] == 300


def test_mistakes_are_one_line(tmp_path):
    done = ferroute_command("prove", "none.jsonl", folder=tmp_path)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "none.jsonl" in done.stderr
    assert not Path(tmp_path / "proof" / "audit.html").exists()


def test_without_a_price_there_is_a_proof_but_no_forecast(logs, traffic, tmp_path):
    with pytest.warns(pricing.PriceWarning):
        ferroute.prove(logs, folder=tmp_path, k=600, to="my-own-model", at="2026-11-01")
    labels = fill_in(tmp_path / "to_label.jsonl", traffic)
    # It is said once.
    proof = ferroute.prove(logs, labels, folder=tmp_path, to="my-own-model", at="2026-11-01", max_quality_loss=0.1)
    assert proof.certificate.certified
    assert "Forecast: none, since a price is not known." in repr(proof)
