#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::path::Path;
use std::sync::LazyLock;

use proptest::prelude::*;
use rust_decimal::Decimal;
use serde_json::{Value as Json, json};

use super::*;
use crate::policy::rules::{AtLimit, Budget, Period};

const WHOLE: &str = r#"
host: 127.0.0.1
port: 6060
tiers: {cheap: openai/gpt-5.4-nano, mid: house, expensive: {model: gpt-5.5, api_key: env:KEY}}
models: [gpt-5.4-mini, {name: house, model: openai/x, api_base: "http://127.0.0.1:9/v1", api_key: file:secret}]
aliases: {fast: router-local-0.7, small: house}
routers: {local: {}, random:, llm_classifier: {endpoint: {model: x, api_key: env:KEY}}}
imports: [my_routers]
calls: {max_retries: 3, deadline: null, fallbacks: {house: [gpt-5.4-mini]}, escalate_on: [empty]}
holdout: 1%
ledger: env:BOOK
store: features
keys: {required: true, admin: env:KEY}
policies:
  - {team: search, budget: $5.50 / day, at_limit: downgrade}
  - {key: k1, model: mid, requests: 100/minute, tokens: 1000/hour, concurrency: 8, clamp: off}
  - {share: {model: gpt-5.5, most: 20%}, models: [fast, small, router-random, cheap]}
server: {cors: [https://a.example], max_body_mb: 2.5, hosts: [a.example], drain_s: 0}
telemetry: {metrics: false, otlp: "http://127.0.0.1:4318", otlp_headers: {a: env:KEY}, logs: json}
"#;

fn env(name: &str) -> Option<String> {
    match name {
        "KEY" => Some("s3cret-value".to_owned()),
        "BOOK" => Some("postgresql://u:s3cret-value@h/db".to_owned()),
        "EMPTY" => Some(String::new()),
        _ => None,
    }
}

fn within(text: &str, folder: &Path) -> Result<Config, Vec<Mistake>> {
    read(text, "g.yaml", &Surroundings { env: &env, folder })
}

fn found(text: &str) -> Config {
    within(text, Path::new("/nonexistent")).unwrap()
}

fn refused(text: &str) -> Vec<String> {
    within(text, Path::new("/nonexistent")).unwrap_err().iter().map(Mistake::to_string).collect()
}

fn only(text: &str) -> String {
    let mut all = refused(text);
    assert_eq!(all.len(), 1, "{all:?}");
    all.remove(0)
}

#[test]
fn a_whole_configuration_is_read() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("secret"), "s3cret-file\n").unwrap();
    let config = within(WHOLE, folder.path()).unwrap();
    let house = json!({"model": "openai/x", "api_base": "http://127.0.0.1:9/v1", "api_key": "s3cret-file"});
    let plain = &config.plain;
    assert_eq!(plain["tiers"][1], json!(["mid", house]));
    assert_eq!(plain["tiers"][2], json!(["expensive", {"model": "gpt-5.5", "api_key": "s3cret-value"}]));
    assert_eq!(plain["models"], json!([["gpt-5.4-mini", "gpt-5.4-mini"], ["house", house]]));
    assert_eq!(plain["pair"], false);
    assert_eq!(plain["calls"]["retries"], 3);
    assert_eq!(plain["calls"]["fallbacks"], json!({"openai/x": ["gpt-5.4-mini"]}));
    assert_eq!(plain["routers"]["random"], Json::Null);
    assert_eq!(plain["routers"]["llm_classifier"]["endpoint"]["api_key"], "s3cret-value");
    assert_eq!(plain["holdout"], 0.01);
    assert_eq!(plain["ledger"], "postgresql://u:s3cret-value@h/db");
    let [first, second, third] = &config.rules[..] else { unreachable!() };
    assert_eq!(first.budget, Some(Budget { limit: Decimal::new(55, 1), period: Period::Day }));
    assert_eq!((first.who.team.as_deref(), first.at_limit, first.line), (Some("search"), AtLimit::Downgrade, 15));
    assert_eq!((second.who.model.as_deref(), second.concurrency, second.no_clamp), (Some("openai/x"), Some(8), true));
    let share = third.share.as_ref().unwrap();
    assert_eq!((share.model.as_str(), share.most), ("gpt-5.5", 0.2));
    let allowed = ["router-local-0.7", "openai/x", "router-random", "openai/gpt-5.4-nano"];
    assert_eq!(third.models.as_deref().unwrap(), allowed);
}

#[test]
fn secrets_are_not_shown() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("secret"), "s3cret-file\n").unwrap();
    let config = within(WHOLE, folder.path()).unwrap();
    let shown = config.shown.to_string();
    assert!(!shown.contains("s3cret"), "{shown}");
    assert_eq!(config.shown["tiers"][2][1]["api_key"], "env:KEY");
    let written = found("tiers: {a: {model: m, api_key: s3cret}, b: n}");
    assert_eq!(written.shown["tiers"][0][1]["api_key"], "(hidden)");
    assert_eq!(written.plain["tiers"][0][1]["api_key"], "s3cret");
}

#[test]
fn errors_show_no_secret() {
    let text = "keys: sk-s3cret0\nhost: [sk-s3cret0]\nledger: {sk-s3cret0: 1}\nmodels: [{model: a, api_key: 55512}]\n\
                telemetry: {otlp: \"https://u:s3cret0@h\"}\npolicies: [{budget: abcdefghijklmnopqrstuvwxyz0123s3cret0}]\n\
                tiers: {a: {model: m, api_key: \"env:sk-s3cret0\"}, b: n}\nstore: sk-s3cret0\nsk-s3cret0: 1\n";
    let said = refused(text).join("\n");
    assert!(!said.contains("s3cret0") && !said.contains("55512"), "{said}");
    assert_eq!(said.lines().count(), 9, "{said}");
}

#[test]
fn all_mistakes_are_told_with_their_places() {
    let text = "tiers: {cheap: a}\nprot: 1\nport: 70000\npolicies:\n  - {budget: 5 per day}\n  - {team: t}\nserver:\n  cors: x\n";
    assert_eq!(
        refused(text),
        [
            "g.yaml:1:8: tiers: expected two or more names with a model each, weakest first, found a mapping",
            "g.yaml:2:1: unknown key 'prot'; did you mean 'port'? There are host, port, tiers, strong_model, weak_model, \
             models, model_list, litellm_settings, router_settings, general_settings, environment_variables, aliases, \
             routers, imports, calls, holdout, ledger, store, keys, policies, server, telemetry",
            "g.yaml:3:7: port: expected a whole number from 0 to 65535, found 70000",
            "g.yaml:5:14: policies[0].budget: expected US dollars and a period, such as 5/day or 100/month, found '5 per \
             day'",
            "g.yaml:8:9: server.cors: expected a list of origins, such as https://app.example, found 'x'",
        ]
    );
}

#[test]
fn names_have_to_exist() {
    let two = "tiers: {a: m, b: n}\n";
    let of = |rest: &str| only(&format!("{two}{rest}"));
    assert!(of("policies: [{share: {model: c, most: 0.1}}]").ends_with("there is no model 'c'; there are a, b, m, n"));
    assert!(of("policies: [{models: [router-x, o]}]").contains("policies[0].models[1]: there is no model 'o'"));
    assert!(of("aliases: {x: y}").contains("aliases.x: there is no model 'y'"));
    assert!(of("aliases: {router-x: m}").contains("cannot begin with router-"));
    assert!(of("policies: [{team: t}]").contains("sets no limit: expected one of budget, share"));
    assert!(of("policies: [{budget: 0/day}]").contains("a budget of 0 lets nothing through"));
    assert!(of("weak_model: m").contains("found both"));
    assert!(of("models: [{name: x, model: y}, {name: x, model: z}]").contains("taken by another model, in line 2"));
    assert!(of("calls: {retries: 1, max_retries: 1}").contains("found both"));
    assert!(of("calls: {fallbacks: {q: [m]}}").contains("calls.fallbacks.q: there is no model 'q'"));
    assert!(only("weak_model: m").contains("expected both"));
}

#[test]
fn missing_secrets_are_named() {
    let of = |key: &str| only(&format!("tiers: {{a: {{model: m, api_key: \"{key}\"}}, b: n}}"));
    assert_eq!(of("env:NOT_THERE"), "g.yaml:1:32: tiers.a.api_key: the environment has no variable NOT_THERE");
    assert!(of("env:EMPTY").ends_with("env:EMPTY is empty"));
    assert!(of("file:/nonexistent/key").ends_with("/nonexistent/key: there is no such file"));
    assert!(of("env:").ends_with("expected the name of a variable after env:"));
}

#[test]
fn a_pair_is_two_rungs() {
    let config = found("strong_model: big\nweak_model: {model: small, api_base: \"http://127.0.0.1:9\"}");
    assert_eq!(config.plain["pair"], true);
    let weak = json!({"model": "small", "api_base": "http://127.0.0.1:9"});
    assert_eq!(config.plain["tiers"], json!([["weak", weak], ["strong", "big"]]));
}

#[test]
fn routellms_own_file_is_taken_as_it_is() {
    let text = "sw_ranking:\n  arena_battle_datasets: [a, b]\nmf: {checkpoint_path: routellm/mf_gpt4_augmented}\nmine:\nrandom: {}\n";
    let config = found(text);
    assert!(config.routers_only);
    assert_eq!(config.plain["routers"]["mf"]["checkpoint_path"], "routellm/mf_gpt4_augmented");
    assert!(found("").routers_only && found("# nothing\n").routers_only);
    assert_eq!(found("").plain, json!({}));
    assert!(only("tierz: {a: b, c: d}").contains("did you mean 'tiers'"));
    assert!(only("- a").contains("expected a mapping: the configuration of the server, found a list"));
}

#[test]
fn litellms_models_are_taken_over() {
    let text = r#"
model_list:
  - model_name: big
    litellm_params: {model: openai/gpt-5.5, api_base: "https://a.example/v1", api_key: os.environ/KEY, rpm: 60, tpm: 9000, weight: 2}
  - model_name: big
    litellm_params: {model: azure/x, api_base: "https://b.example", api_key: plain-s3cret, api_version: "2026-01-01"}
    model_info: {base_model: gpt-5.5, id: 7}
  - model_name: "anthropic/*"
    litellm_params: {model: "anthropic/*"}
  - model_name: small
    litellm_params: {model: gpt-5.4-nano}
    tags: [x]
litellm_settings: {drop_params: true}
general_settings: {master_key: sk-1234}
tiers: {cheap: small, expensive: big}
"#;
    let config = found(text);
    let big = json!({"model": "openai/gpt-5.5", "api_base": "https://a.example/v1", "api_key": "s3cret-value"});
    assert_eq!(config.plain["models"], json!([["big", big], ["small", "gpt-5.4-nano"]]));
    assert_eq!(config.plain["tiers"], json!([["cheap", "gpt-5.4-nano"], ["expensive", big]]));
    let other = &config.plain["calls"]["fallbacks"]["openai/gpt-5.5"][0];
    assert_eq!((&other["model"], &other["base_model"]), (&json!("azure/x"), &json!("gpt-5.5")));
    let rule = &config.rules[0];
    assert_eq!(rule.who.model.as_deref(), Some("openai/gpt-5.5"));
    assert_eq!((rule.requests.unwrap().count, rule.tokens.unwrap().count), (60, 9000));
    assert!(!config.shown.to_string().contains("s3cret"));
    let notes = config.notes.join("\n");
    for part in ["weight", "stands for many models", "drop_params", "master_key", "alone, not for the 1 others"] {
        assert!(notes.contains(part), "{part}: {notes}");
    }
    assert!(!notes.contains("sk-1234"));
    assert!(only("model_list: [{model_name: a}]").contains("expected `litellm_params`, found none"));
    assert!(only("model_list: [{model_name: a, litellm_params: {}}]").contains("expected `model`"));
}

#[test]
fn bombs_are_refused() {
    let of = |text: &str| refused(text).join("\n");
    assert!(of(&"a".repeat(10 << 20)).contains("longer than 1024 KiB"));
    assert!(of(&"[".repeat(50_000)).contains("g.yaml:1:"));
    let mut bomb = "x0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for n in 1..12 {
        let line = vec![format!("*a{}", n - 1); 10].join(", ");
        bomb.extend([format!("x{n}: &a{n} [{line}]\n")]);
    }
    assert!(of(&bomb).contains("more than 100000 values"));
    // No more mistakes than anybody reads.
    let many = (0..1000).map(|n| format!("k{n}: 1")).collect::<Vec<_>>().join("\n");
    assert_eq!(refused(&many).len(), 100);
}

#[test]
fn the_schema_is_the_published_one() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/python/ferroute/data/gateway.schema.json");
    let written = serde_json::to_string_pretty(&schema()).unwrap() + "\n";
    if std::env::var_os("FERROUTE_WRITE_SCHEMA").is_some() {
        std::fs::write(path, &written).unwrap();
    }
    assert_eq!(std::fs::read_to_string(path).unwrap(), written, "FERROUTE_WRITE_SCHEMA=1 writes it anew");
}

static PUBLISHED: LazyLock<jsonschema::Validator> = LazyLock::new(|| jsonschema::validator_for(&schema()).unwrap());

/// Whether the description lets a tree pass, whatever its names mean.
fn of_the_shape(tree: &Json) -> bool {
    let mut mistakes = Mistakes::of("");
    let node = Node::of_json(tree);
    check::check(&At::root(&node, ""), &Shape::Fields(&TOP), &mut mistakes);
    !mistakes.any()
}

/// A tree with one of its places changed.
fn mutated(tree: &Json, place: usize, into: &Json) -> Json {
    fn walk(tree: &mut Json, left: &mut usize, into: &Json) -> bool {
        if *left == 0 {
            *tree = into.clone();
            return true;
        }
        *left -= 1;
        match tree {
            Json::Array(items) => items.iter_mut().any(|item| walk(item, left, into)),
            Json::Object(members) => members.values_mut().any(|member| walk(member, left, into)),
            _ => false,
        }
    }
    let mut tree = tree.clone();
    walk(&mut tree, &mut place.clone(), into);
    tree
}

fn anything() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        (-5_i64..70_000).prop_map(Json::from),
        prop_oneof![Just(0.2), Just(1.5), Just(-0.1), Just(6060.0), Just(1e9)].prop_map(Json::from),
        prop_oneof![
            Just("x"),
            Just(""),
            Just("  "),
            Just("5/day"),
            Just("20%"),
            Just("120%"),
            Just("100/minute"),
            Just("on"),
            Just("off"),
            Just("text"),
            Just("features"),
            Just("env:KEY"),
            Just("https://a.example"),
            Just("refuse"),
            Just("http://u:p@h"),
            Just("last"),
            Just("empty"),
        ]
        .prop_map(Json::from),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        let key = prop_oneof![
            Just("model"),
            Just("most"),
            Just("budget"),
            Just("name"),
            Just("api_key"),
            Just("x"),
            Just(""),
            Just("admin"),
            Just("model_name"),
            Just("litellm_params"),
            Just("port"),
        ];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Json::from),
            prop::collection::vec((key, inner), 0..4).prop_map(|found| Json::Object(
                found.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
            )),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn schema_and_reader_agree(place in 0_usize..140, into in anything()) {
        let whole = yaml::read(WHOLE, "").unwrap().to_json();
        let tree = mutated(&whole, place, &into);
        prop_assert_eq!(PUBLISHED.is_valid(&tree), of_the_shape(&tree), "{}", tree);
    }

    #[test]
    fn no_text_makes_it_panic(text in "[-a-c:#&*!|>'\"%@`\\[\\]{},? \n\t0-9]{0,200}", head in prop_oneof![
        Just(""), Just("policies: "), Just("tiers: "), Just("models: "), Just("model_list: "), Just("calls: {fallbacks: "),
    ]) {
        let _ = within(&format!("{head}{text}"), Path::new("/nonexistent"));
    }
}

#[test]
fn a_number_is_put_in_every_place() {
    // The property test reaches every place only by luck.
    let whole = yaml::read(WHOLE, "").unwrap().to_json();
    assert!(PUBLISHED.is_valid(&whole));
    for place in 0..140 {
        for into in [json!(3), json!("x"), json!([]), json!({}), json!(null), json!(true)] {
            let tree = mutated(&whole, place, &into);
            assert_eq!(PUBLISHED.is_valid(&tree), of_the_shape(&tree), "{place} {into}: {tree}");
        }
    }
}

#[test]
fn an_alias_hides_nothing_and_leads_to_what_can_be_asked_for() {
    const TWO: &str = "tiers: {cheap: openai/gpt-5.4-mini, expensive: gpt-5.5}\n";
    let of = |rest: &str| only(&format!("{TWO}{rest}"));
    for hidden in ["cheap: gpt-5.5", "gpt-5.5: cheap", "cheap: router-local-1"] {
        assert!(of(&format!("aliases: {{{hidden}}}")).contains("would hide the model or tier"), "{hidden}");
    }
    let fallback = "calls: {fallbacks: [other]}\naliases: {\n  a: other}";
    assert_eq!(
        of(fallback),
        "g.yaml:4:6: aliases.a: 'other' cannot be asked for: it is in neither `tiers` nor `models`"
    );
    // What they lead to is named as the server has it.
    let house = "models: [{name: house, model: openai/x, api_base: \"http://127.0.0.1:9/v1\"}]\n";
    let config = found(&format!(
        "{TWO}{house}aliases: {{a: cheap, b: gpt-5.4-mini, c: house, cheap: openai/gpt-5.4-mini}}\n\
         policies: [{{model: gpt-5.4-mini, concurrency: 1}}]"
    ));
    let mini = "openai/gpt-5.4-mini";
    assert_eq!(config.plain["aliases"], json!({"a": mini, "b": mini, "c": "house", "cheap": mini}));
    assert_eq!(config.rules[0].who.model.as_deref(), Some(mini));
}

#[test]
fn places_are_those_of_the_file() {
    let config =
        found("tiers:\n  a: x\n  b: y\nrouters:\n  mf:\n    path: z\npolicies:\n  - models: [a,\n      b]\n    key: k");
    let at = |way: &str| config.places.get(way).map(|mark| (mark.line, mark.column));
    assert_eq!(at("routers.mf"), Some((5, 3)));
    assert_eq!(at("policies[0].models[1]"), Some((9, 7)));
    assert_eq!(at("tiers.b"), Some((3, 6)));
    assert_eq!(found("mf:\n").places["routers.mf"].line, 1);
}
