"""The server's configuration, from Python: what is read, what is refused, and what is built of it."""

from __future__ import annotations

import datetime as dt
import json
import pickle
import re
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import pytest

from conftest import ROOT
from ferroute import _core, pricing
from ferroute._serving_build import Served, controller_of, served_of, with_tiers
from ferroute._serving_check import look
from ferroute._serving_config import ConfigMistakes, Configuration, load, read, without_file
from ferroute._serving_preset import preset, presets
from ferroute.errors import InvalidValueError, MissingFileError

if TYPE_CHECKING:
    from decimal import Decimal
    from pathlib import Path

TWO = "tiers: {cheap: gpt-5.4-nano, expensive: gpt-5.5}\n"


def of(text: str, folder: str = "/nonexistent") -> Configuration:
    return read(text, "g.yaml", folder)


def built(text: str, before: Served | None = None) -> Served:
    config = of(text)
    config.plain["ledger"] = "memory"
    with_tiers(config)
    return controller_of(config, before)


def test_defaults_are_those_of_a_private_server(tmp_path: Path) -> None:
    path = tmp_path / "g.yaml"
    path.write_text(TWO)
    config = load(path)
    assert (config.host, config.port, config.store) == ("127.0.0.1", 6060, "features")
    assert config.ledger == str(tmp_path / "ferroute.db")
    assert config.tiers == [("cheap", "gpt-5.4-nano"), ("expensive", "gpt-5.5")]
    assert without_file().ledger == "memory:"


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("calls.db", "/etc/g/calls.db"),
        ("sqlite:calls.db", "/etc/g/calls.db"),
        ("sqlite:////var/calls.db", "sqlite:////var/calls.db"),
        ("/var/calls.db", "/var/calls.db"),
        ("memory", "memory:"),
        ("postgresql://h/d", "postgresql://h/d"),
    ],
)
def test_a_ledger_lies_beside_its_configuration(said: str, meant: str) -> None:
    assert read(f"{TWO}ledger: {said}", "g.yaml", "/etc/g").ledger == meant


def test_all_mistakes_come_at_once_and_pickle() -> None:
    with pytest.raises(ConfigMistakes) as caught:
        of("tiers: {a: b}\nport: x\nprot: 1\n")
    lines = str(caught.value).splitlines()
    assert len(lines) == 3 and lines[1] == "g.yaml:2:7: port: expected a whole number from 0 to 65535, found 'x'"
    assert [mistake.line for mistake in caught.value.mistakes] == [1, 2, 3]
    assert pickle.loads(pickle.dumps(caught.value)).mistakes == caught.value.mistakes


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="no such configuration file"):
        load(tmp_path / "none.yaml")
    (tmp_path / "bytes.yaml").write_bytes(b"a: 1\nb: \xff\n")
    with pytest.raises(ConfigMistakes, match=r"bytes.yaml:2:1: is not UTF-8"):
        load(tmp_path / "bytes.yaml")
    (tmp_path / "large.yaml").write_bytes(b"\xff" * (10 << 20))
    with pytest.raises(ConfigMistakes, match="longer than 1024 KiB"):
        load(tmp_path / "large.yaml")


def test_a_controller_is_built_of_it() -> None:
    text = """
tiers: {cheap: house, mid: gpt-5.4-mini, expensive: gpt-5.5}
models: [{name: house, model: openai/x, api_base: "http://127.0.0.1:9/v1"}, other]
aliases: {fast: router-local-0.7}
routers: {local:, random: {}}
calls: {max_retries: 1, deadline: 9, sticky: true, escalate_on: [empty], fallbacks: {house: [gpt-5.4-mini]}}
holdout: 2%
"""
    controller = built(text)
    assert list(controller.tiers) == ["cheap", "mid", "expensive"] and list(controller.routers) == ["local", "random"]
    policy = controller.policy
    assert (policy.retries, policy.deadline, policy.holdout, policy.sticky) == (1, 9, 0.02, True)
    assert policy.fallbacks_of("openai/x") == ("gpt-5.4-mini",)
    assert controller.decide("hi", model="router-local-1").model == "openai/x"
    served = served_of(of(text))
    assert served["aliases"] == {"fast": "router-local-0.7"}
    assert [name for name, _ in served["models"]] == ["house", "other"]


def test_a_null_time_is_no_limit() -> None:
    assert built(f"{TWO}calls: {{timeout: null}}").policy.timeout is None


def test_routers_that_have_not_changed_are_kept(tmp_path: Path) -> None:
    rules = tmp_path / "rules.yaml"
    rules.write_text("rules: [{when: {words: x}, use: cheap}]\notherwise: expensive\n")
    text = f"{TWO}routers: {{local: {{}}, random: {{}}, rules: {{file: {rules}}}}}"
    first = built(text)
    second = built(f"{text}\naliases: {{fast: router-local-0.5}}", first)
    assert all(second.routers[name] is first.routers[name] for name in ("local", "random", "rules"))
    assert second.ledger is first.ledger
    # Rules are held against the ladder: another ladder, other rules.
    third = built(text.replace("gpt-5.5", "gpt-5.4-mini"), second)
    assert third.routers["local"] is first.routers["local"] and third.routers["rules"] is not first.routers["rules"]
    rules.write_text("rules: [{when: {words: xy}, use: cheap}]\notherwise: expensive\n")
    assert built(text, second).routers["rules"] is not second.routers["rules"]


def test_routellms_files_are_accepted() -> None:
    config = of("mf: {checkpoint_path: routellm/mf_gpt4_augmented}\nrandom:\n")
    assert config.routers_only and config.routers == {
        "mf": {"checkpoint_path": "routellm/mf_gpt4_augmented"},
        "random": None,
    }
    assert of("").routers_only and of("").routers is None


def test_no_secret_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THE_KEY", "s3cret-env")
    (tmp_path / "key").write_text("s3cret-file\n")
    text = (
        "tiers: {cheap: {model: gpt-5.4-nano, api_key: env:THE_KEY}, expensive: {model: gpt-5.5, api_key: file:key}}\n"
        "ledger: postgresql://u:s3cret-url@127.0.0.1/d\nkeys: {required: true, admin: s3cret-plain-and-long}\n"
    )
    config = read(text, "g.yaml", str(tmp_path))
    keys = [model["api_key"] for _, model in config.tiers]
    assert keys == ["s3cret-env", "s3cret-file"]
    controller = controller_of(read(f"{text}".replace(text.splitlines()[1], "ledger: memory"), "g.yaml", str(tmp_path)))
    shown = json.dumps(config.shown) + repr(config) + repr(config.core) + repr(controller) + str(look(config))
    assert "s3cret" not in shown
    monkeypatch.delenv("THE_KEY")
    with pytest.raises(ConfigMistakes, match="the environment has no variable THE_KEY"):
        read(text, "g.yaml", str(tmp_path))


def test_tiers_of_models_alone_are_the_cheapest_and_the_dearest() -> None:
    config = of("models: [gpt-5.4-mini, gpt-5.5, gpt-5.4-nano, unheard-of]")
    said = with_tiers(config)
    assert config.tiers == [("cheap", "gpt-5.4-nano"), ("expensive", "gpt-5.5")]
    assert "no `tiers`" in said[0]
    with pytest.raises(InvalidValueError, match="expected `tiers`"):
        with_tiers(of("models: [unheard-of, gpt-5.5]"))


def test_without_a_file_the_keys_in_the_environment_say_which_models() -> None:
    chosen = preset({"ANTHROPIC_API_KEY": "k", "MISTRAL_API_KEY": "k"})
    assert chosen.provider == "anthropic" and [name for name, _ in chosen.tiers] == ["cheap", "mid", "expensive"]
    assert chosen.others == ["mistral"] and ("mistral/mistral-small-latest",) * 2 in chosen.models
    assert preset({"OPENAI_API_KEY": "k", "ANTHROPIC_API_KEY": "k"}).provider == "openai"
    with pytest.raises(InvalidValueError, match="OPENAI_API_KEY"):
        preset({"OPENAI_API_KEY": ""})


def test_presets_live_half_a_year_and_cost_more_the_higher_they_stand() -> None:
    data = presets()
    day = dt.date.fromisoformat(data["as_of"])
    providers = dict(_core.provider_keys())
    for provider, tiers in data["providers"].items():
        assert provider in providers
        costs: list[Decimal] = []
        for model in tiers.values():
            assert model.startswith(f"{provider}/")
            cost, facts = pricing.cost(model, 1000, 500, at=data["as_of"]), pricing.facts(model)
            assert cost is not None and facts is not None, model
            assert facts.shutdown is None or dt.date.fromisoformat(facts.shutdown) - day > dt.timedelta(days=183)
            costs.append(cost)
        assert costs == sorted(set(costs)), provider


def test_the_published_schema_is_in_the_package() -> None:
    published: Any = json.loads((files("ferroute") / "data" / "gateway.schema.json").read_text())
    assert published == json.loads(_core.gateway_schema())
    assert set(published["properties"]["policies"]["items"]["properties"]) >= {"budget", "share", "clamp"}


def test_what_may_not_be_meant_is_told() -> None:
    text = """
tiers: {cheap: gpt-5.5, expensive: gpt-5.4-nano}
models: [{name: house, model: openai/unheard, api_base: "http://127.0.0.1:9/v1", api_key: k}]
host: 0.0.0.0
policies: [{team: t, budget: 5/day, at_limit: downgrade}, {model: house, requests: 5/second, clamp: off}]
"""
    config = of(text)
    findings = look(config, dt.date(2026, 11, 27))
    said = "\n".join(findings.warnings)
    for part in (
        "gpt-5.4-nano: its provider shuts it down on 2027-04-01, in 125 days",
        "openai/unheard: its price is not known, so calls are refused where a budget holds",
        "tiers: cheap is dearer than expensive",
        "host 0.0.0.0: others can reach it",
        "models.house.api_key: a secret is written in the file",
        "cheap: cannot be called from here: no key",
    ):
        assert part in said, said
    assert findings.policies == [
        "team t: $5/day; then the next weaker rung",
        "everybody together on house: 5/second requests; without an output limit refused",
    ]
    later = "\n".join(look(of(text), dt.date(2027, 4, 1)).warnings)
    assert "gpt-5.4-nano: its provider has shut it down on 2027-04-01" in later


def test_two_budgets_for_the_same_are_told() -> None:
    policies = "policies: [{team: t, budget: 5/day}, {team: t, budget: 3 /day}, {team: t, budget: 9/month}]"
    said = [text for text in look(of(TWO + policies)).warnings if "smallest" in text]
    assert said == ["policies: 2 budgets a day for team t; the smallest holds"]


@pytest.mark.parametrize(
    ("rest", "told"),
    [
        ("routers: {nobody: {}}", "unknown router 'nobody'"),
        ("routers: {mf: {chekpoint: x}}", "unknown argument 'chekpoint'"),
        ("routers: {rules: {preset: nothing}}", "unknown preset"),
        ("calls: {on_router_error: nothing}", "on_router_error"),
        ("imports: [no_such_module_of_ours]", "no_such_module_of_ours"),
        ("keys: {admin: short}", "keys.admin: expected 16 characters or more"),
    ],
)
def test_what_only_building_it_shows_is_a_mistake(rest: str, told: str) -> None:
    with pytest.raises(ConfigMistakes, match=told):
        look(of(TWO + rest))


def mistakes_of(rest: str) -> list[str]:
    with pytest.raises(ConfigMistakes) as caught:
        look(of(TWO + rest))
    return str(caught.value).splitlines()


@pytest.mark.parametrize(
    ("rest", "told"),
    [
        ("aliases:\n  r: router-mf-0.5", "3:6: aliases.r: 'router-mf-0.5' cannot be asked for: Invalid router mf"),
        ("aliases:\n  r: router-local-7", "3:6: aliases.r: 'router-local-7' cannot be asked for: Invalid threshold"),
        ("aliases:\n  r: router-local", "3:6: aliases.r: 'router-local' cannot be asked for: expected a threshold"),
        ("policies:\n  - models: [router-no]", "3:14: policies[0].models[0]: 'router-no' cannot be asked for"),
    ],
)
def test_names_of_routers_have_to_be_loaded(rest: str, told: str) -> None:
    (only,) = mistakes_of(rest)
    assert only.startswith(f"g.yaml:{told}"), only
    with pytest.raises(ConfigMistakes, match="cannot be asked for"):
        built(TWO + rest)


def test_routers_that_are_loaded_may_be_named() -> None:
    rest = """routers: {local: , mf: {checkpoint_path: nowhere}, semantic: {routes: {a: [b]}, map: {a: cheap}}}
aliases: {a: router-mf-0.5, b: router-semantic, c: "router-local-30%", d: cheap}
policies: [{key: k, models: [router-mf, a, router-local-0.5, cheap]}]
"""
    assert look(of(TWO + rest)).routers == ["local", "mf", "semantic"]


def test_no_mistake_hides_another() -> None:
    lines = mistakes_of(
        """imports:
  - no_such_module_of_ours
keys: {admin: short}
routers:
  nosuch: {}
  mf:
    bogus: 1
  rules: {preset: nothing}
aliases:
  a: router-nosuch-0.5
  b: router-local-0.5
  c: router-rules
"""
    )
    starts = [
        "g.yaml:3:5: imports[0]: cannot be imported",
        "g.yaml:4:15: keys.admin: expected 16 characters",
        "g.yaml:6:3: routers.nosuch: unknown router 'nosuch'",
        "g.yaml:7:3: routers.mf: unknown argument 'bogus'",
        "g.yaml:9:3: routers.rules: ",
        "g.yaml:12:6: aliases.b: 'router-local-0.5' cannot be asked for: Invalid router local",
    ]
    assert len(lines) == len(starts) and all(map(str.startswith, lines, starts)), lines


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("calls.db", "calls.db"),
        ("sqlite:///var/lib/calls.db", "sqlite:///var/lib/calls.db"),
        ("memory", "in memory"),
        ("postgresql://u:s3cret@db.example:5432/d?password=s3cret", "postgresql://u@db.example:5432/d"),
        ("postgresql://u:s3c@ret@h/d", "in a database that the file names (hidden)"),
        ("s3cret", "in a database that the file names (hidden)"),
    ],
)
def test_a_ledger_is_shown_without_its_password(given: str, shown: str) -> None:
    assert of(f'{TWO}ledger: "{given}"').ledger_shown == shown


DOCS = (ROOT / "docs" / "gateway.md").read_text(encoding="utf-8")


def names_of(schema: Any) -> set[str]:
    """Every key that a configuration may have, but for those of LiteLLM's entries."""
    if isinstance(schema, list):
        return set().union(*map(names_of, schema)) if schema else set()
    if not isinstance(schema, dict):
        return set()
    own = {name for name in schema.get("properties", ()) if name != "model_list"}
    below = [value for name, value in schema.items() if name != "properties"]
    below += [value for name, value in schema.get("properties", {}).items() if name != "model_list"]
    return own | names_of(below)


def test_the_documentation_names_every_key() -> None:
    names = names_of(json.loads(_core.gateway_schema()))
    litellm = {"environment_variables"}
    words = set(re.findall(r"\w+", DOCS))
    assert not names - words - litellm


@pytest.mark.parametrize("block", re.findall(r"^```yaml\n(.*?)^```", DOCS, re.MULTILINE | re.DOTALL))
def test_the_documented_examples_are_right(block: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "FERROUTE_ADMIN_KEY"):
        monkeypatch.setenv(name, "a-key-of-16-characters-or-more")
    config = of(block)
    with_tiers(config)
    findings = look(config, dt.date(2026, 11, 27))
    # Of an example that is copied nothing should have to be explained but a price that nobody can know.
    assert all("openai/llama: its price is not known" in said for said in findings.warnings), findings.warnings
