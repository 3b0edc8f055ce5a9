"""Pack the public outcome data into the compact Parquet files of this repository.

    python scripts/pack_data.py ../shared/benchmarks

reads the folders `routellm`, `mmlu_pro_outcomes` and `zeroeval_outcomes` (their sources and commits are in
`data/README.md`) and writes

* `python/ferroute/data/benchmarks/{mmlu,gsm8k,mt_bench}.parquet`: shipped in the wheel,
* `data/{mmlu_pro,math_l5,crux,zeroeval_gsm}.parquet`: read by training only.

Needs pyarrow. Everything is zstd and plain Parquet types: UTF-8 byte arrays, 8-bit integers, doubles, booleans.
"""

from __future__ import annotations

import argparse
import csv
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

ROOT = Path(__file__).resolve().parent.parent
SHIPPED = ROOT / "python" / "ferroute" / "data" / "benchmarks"
TRAINING = ROOT / "data"

STRONG = "gpt-4-1106-preview"
WEAK = "mistralai/Mixtral-8x7B-Instruct-v0.1"

# The order in which RouteLLM's evaluation concatenates the domains; its kept-row numbers count in this order.
MMLU_DOMAINS = """
high_school_european_history business_ethics clinical_knowledge medical_genetics high_school_us_history
high_school_physics high_school_world_history virology high_school_microeconomics econometrics
college_computer_science high_school_biology abstract_algebra professional_accounting philosophy
professional_medicine nutrition global_facts machine_learning security_studies public_relations
professional_psychology prehistory anatomy human_sexuality college_medicine high_school_government_and_politics
college_chemistry logical_fallacies high_school_geography elementary_mathematics human_aging college_mathematics
high_school_psychology formal_logic high_school_statistics international_law high_school_mathematics
high_school_computer_science conceptual_physics miscellaneous high_school_chemistry marketing professional_law
management college_physics jurisprudence world_religions sociology us_foreign_policy high_school_macroeconomics
computer_security moral_scenarios moral_disputes electrical_engineering astronomy college_biology
""".split()  # noqa: SIM905 - a list of 57 literals would be a page


def contaminated(folder: Path) -> set[str]:
    """The prompts RouteLLM's evaluation leaves out because they resemble its training data."""
    lines = (folder / "contaminated_prompts.jsonl").read_text(encoding="utf-8").splitlines()
    return {json.loads(line)["eval_prompt"] for line in lines if line.strip()}


def read_csv(path: Path) -> list[dict[str, str]]:
    """Rows of a CSV file; line breaks inside quoted fields stay as they are."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def flag(text: str) -> int:
    """`True` or `False` as 1 or 0; anything else is an error."""
    return {"True": 1, "False": 0}[text]


def mmlu(source: Path) -> pa.Table:
    """14,042 questions with the outcome of both models."""
    folder = source / "routellm" / "mmlu"
    leave_out = contaminated(folder)
    prompt, domain, weak, strong = [], [], [], []
    for name in MMLU_DOMAINS:
        for row in read_csv(folder / "responses" / f"mmlu_{name}.csv"):
            prompt.append(row["prompt"])
            domain.append(name)
            weak.append(flag(row[WEAK]))
            strong.append(flag(row[STRONG]))
    return pa.table(
        {
            "prompt": pa.array(prompt, pa.string()),
            "domain": pa.array(domain, pa.string()),
            "weak": pa.array(weak, pa.int8()),
            "strong": pa.array(strong, pa.int8()),
            "contaminated": pa.array([p in leave_out for p in prompt], pa.bool_()),
        }
    )


def gsm8k(source: Path) -> pa.Table:
    """1,319 word problems with the outcome of both models; the answers' text (1 MB) is left out."""
    folder = source / "routellm" / "gsm8k"
    leave_out = contaminated(folder)
    rows = read_csv(folder / "gsm8k_responses.csv")
    return pa.table(
        {
            "prompt": pa.array([r["prompt"] for r in rows], pa.string()),
            "weak": pa.array([flag(r[WEAK]) for r in rows], pa.int8()),
            "strong": pa.array([flag(r[STRONG]) for r in rows], pa.int8()),
            "contaminated": pa.array([r["prompt"] in leave_out for r in rows], pa.bool_()),
        }
    )


def mt_bench(source: Path) -> pa.Table:
    """80 two-turn questions with the judge's score (1-10) of each model's answer to each turn."""
    folder = source / "routellm" / "mt_bench"
    leave_out = contaminated(folder)
    questions = [json.loads(line) for line in (folder / "question.jsonl").read_text(encoding="utf-8").splitlines()]
    score: dict[tuple[int, str, int], float] = {}
    for line in (folder / "judgements.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        score[row["question_id"], row["model"], row["turn"]] = float(row["score"])
    ids = [q["question_id"] for q in questions]
    columns: dict[str, Any] = {
        "question_id": pa.array(ids, pa.int32()),
        "category": pa.array([q["category"] for q in questions], pa.string()),
        "prompt": pa.array([q["turns"][0] for q in questions], pa.string()),
        "prompt_2": pa.array([q["turns"][1] for q in questions], pa.string()),
    }
    for side, model in (("weak", WEAK), ("strong", STRONG)):
        for turn in (1, 2):
            columns[f"{side}_{turn}"] = pa.array([score[i, model, turn] for i in ids], pa.float64())
    columns["contaminated"] = pa.array([not leave_out.isdisjoint(q["turns"]) for q in questions], pa.bool_())
    return pa.table(columns)


def outcomes(path: Path, qid: pa.DataType, *texts: str) -> pa.Table:
    """A many-model set: the named text columns, then one nullable 8-bit column a model (1 correct, 0 wrong)."""
    table = pq.read_table(path)
    names = ["qid", *texts]
    models = [f.name for f in table.schema if f.type == pa.int8()]
    columns = {name: table[name].cast(qid if name == "qid" else pa.string()) for name in names}
    return pa.table(columns | {name: table[name] for name in models})


def write(table: pa.Table, path: Path) -> None:
    """Write `table`, small, readable by any Parquet reader, and the same for the same pyarrow."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(
        table,
        path,
        compression="zstd",
        compression_level=19,
        row_group_size=8192,
        use_dictionary=[c for c in ("domain", "category", "src") if c in table.column_names],
        write_statistics=False,
        store_schema=False,
    )
    print(f"{path.relative_to(ROOT)}: {table.num_rows} rows, {path.stat().st_size:,} bytes")


def tables(source: Path) -> dict[Path, pa.Table]:
    """Every packed file and what it should hold, made from the folder `source`."""
    zeroeval = source / "zeroeval_outcomes"
    pro = source / "mmlu_pro_outcomes" / "mmlu_pro.parquet"
    return {
        SHIPPED / "mmlu.parquet": mmlu(source),
        SHIPPED / "gsm8k.parquet": gsm8k(source),
        SHIPPED / "mt_bench.parquet": mt_bench(source),
        TRAINING / "mmlu_pro.parquet": outcomes(pro, pa.int32(), "prompt", "domain", "src"),
        TRAINING / "math_l5.parquet": outcomes(zeroeval / "math-l5.parquet", pa.string(), "prompt"),
        TRAINING / "crux.parquet": outcomes(zeroeval / "crux.parquet", pa.string(), "prompt"),
        TRAINING / "zeroeval_gsm.parquet": outcomes(zeroeval / "gsm.parquet", pa.string(), "prompt"),
    }


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, help="folder that holds routellm/, mmlu_pro_outcomes/, zeroeval_outcomes/")
    for path, table in tables(parser.parse_args().source).items():
        write(table, path)


if __name__ == "__main__":
    main()
