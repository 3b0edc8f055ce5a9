#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::time::Instant;

use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::*;
use crate::text::view::{Role, Turn};

fn yaml(text: &str) -> Rules {
    Rules::of_yaml(text, "rules.yaml").unwrap()
}

fn rules(json: &Json) -> Rules {
    Rules::of_json(&json.to_string()).unwrap()
}

fn refused(text: &str) -> String {
    Rules::of_yaml(text, "rules.yaml").unwrap_err().message().to_owned()
}

fn refused_json(json: &Json) -> String {
    Rules::of_json(&json.to_string()).unwrap_err().message().to_owned()
}

fn choose(rules: &Rules, text: &str) -> Verdict {
    rules.choose(&View::of_text(text)).unwrap()
}

fn with_task(text: &str, task: &str) -> View {
    View { task: Some(task.to_owned()), ..View::of_text(text) }
}

/// Whether a `when` holds.
fn holds(when: &Json, view: &View) -> bool {
    let rules = rules(&json!({"rules": [{"when": when, "use": "cheap"}], "otherwise": "expensive"}));
    rules.choose(view).unwrap().rung.as_deref() == Some("cheap")
}

#[test]
fn the_first_rule_that_decides_ends() {
    let rules = yaml(
        "rules:\n  - name: long\n    when: {words: alpha}\n    floor: mid\n  - when: {words: beta}\n    use: cheap\n  - \
         when: {words: [beta, gamma]}\n    use: expensive\notherwise: router-local-60%,15%\n",
    );
    let verdict = choose(&rules, "alpha beta");
    assert_eq!((verdict.rung.as_deref(), verdict.floor.as_deref()), (Some("mid"), Some("mid")));
    assert_eq!(verdict.fired, ["long", "rule 2"]);
    assert_eq!(verdict.reason, "rule 'rule 2' (word 'beta'); at least mid by rule 'long' (word 'alpha')");
    let verdict = choose(&rules, "gamma");
    assert_eq!(
        (verdict.rung.as_deref(), verdict.fired.as_slice()),
        (Some("expensive"), ["rule 3".to_owned()].as_slice())
    );
    let verdict = choose(&rules, "delta");
    assert_eq!((verdict.rung, verdict.ask.as_deref()), (None, Some("router-local-60%,15%")));
    assert_eq!(verdict.reason, "`otherwise`, since no rule decided");
}

#[test]
fn a_rule_may_ask_or_name_a_model() {
    let rules = rules(&json!({"rules": [
        {"when": {"words": "a"}, "floor": "mid", "ceiling": "expensive", "ask": "router-local-0.3,0.7"},
        {"when": {"words": "b"}, "model": "openai/other"},
        {"when": {"words": "c"}, "model": {"model": "openai/mine", "api_base": "http://127.0.0.1:1/v1"}},
    ], "otherwise": {"model": "openai/last", "api_key": "sk-secret"}}));
    let verdict = choose(&rules, "a");
    assert_eq!(verdict.ask.as_deref(), Some("router-local-0.3,0.7"));
    assert_eq!((verdict.floor.as_deref(), verdict.ceiling.as_deref()), (Some("mid"), Some("expensive")));
    assert_eq!(choose(&rules, "b").model.as_deref(), Some("openai/other"));
    assert_eq!(choose(&rules, "c").model.as_deref(), Some("openai/mine"));
    assert_eq!(choose(&rules, "d").model.as_deref(), Some("openai/last"));
    let endpoints: Vec<&str> = rules.endpoints().iter().map(|endpoint| endpoint.model.as_str()).collect();
    assert_eq!(endpoints, ["openai/mine", "openai/last"]);
    assert_eq!(rules.asked(), [("router-local-0.3,0.7", "rules[0].ask")]);
    assert!(!format!("{:?}", rules.shown()).contains("sk-secret"));
}

#[test]
fn the_tightest_bounds_stand_and_contradictions_are_told() {
    let rules = yaml(
        "rules:\n- {name: a, when: {words: a}, floor: mid}\n- {name: b, when: {words: b}, floor: expensive}\n- {name: c, \
         when: {words: c}, floor: cheap}\n- {name: d, when: {words: d}, ceiling: cheap}\n- {name: e, when: {words: e}, \
         ceiling: mid}\notherwise: mid\n",
    );
    assert_eq!(choose(&rules, "a b").floor.as_deref(), Some("expensive"));
    assert_eq!(choose(&rules, "a c").floor.as_deref(), Some("mid"));
    assert_eq!(choose(&rules, "d e").ceiling.as_deref(), Some("cheap"));
    let verdict = choose(&rules, "a d");
    assert_eq!((verdict.floor.as_deref(), verdict.ceiling), (Some("mid"), None));
    assert_eq!(
        verdict.notes,
        ["the ceiling 'cheap' of rule 'd' lies below the floor 'mid' of rule 'a', which came first and stands"]
    );
}

#[test]
fn names_of_a_ladder_are_checked_and_ordered() {
    let text = "rules:\n  - {name: a, when: {words: a}, floor: nano}\n  - {name: b, when: {words: b}, floor: grand}\n";
    let rules = yaml(text);
    assert_eq!(rules.named_rungs(), ["nano", "grand", "mid"]);
    // Nobody knows which is higher: the first one stands.
    assert_eq!(choose(&rules, "a b").floor.as_deref(), Some("nano"));
    let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
    let bound = rules.bind(&names(&["nano", "mini", "grand"])).unwrap();
    assert_eq!(choose(&bound, "a b").floor.as_deref(), Some("grand"));
    assert_eq!(
        rules.bind(&names(&["nano", "mini", "grant"])).unwrap_err().message(),
        "rules.yaml:3:40: rules[1].floor: no rung is called 'grand'; did you mean 'grant'? There are nano, mini, grant; \
         a model is named by `model`"
    );
    // The file may say its rungs by itself.
    assert!(refused(&format!("rungs: [nano, mini]\n{text}")).starts_with("rules.yaml:4:40: rules[1].floor: no rung"));
    let turned = "rungs: [big, small]\nrules: [{floor: small, ceiling: big}]";
    assert_eq!(refused(turned), "rules.yaml:2:17: rules[0].floor: the floor 'small' lies above the ceiling 'big'");
}

#[test]
fn every_condition_holds_and_does_not() {
    let text = View::of_text("Please summarise this, it costs 12 EUR");
    let body = json!({
        "messages": [
            {"role": "system", "content": "be brief about alpha"},
            {"role": "user", "content": [{"type": "text", "text": "first beta"}, {"type": "image_url", "image_url": {}}]},
            {"role": "assistant", "content": "gamma"},
            {"role": "user", "content": "second delta"},
        ],
        "tools": [{"type": "function", "function": {"name": "f"}}],
        "response_format": {"type": "json_schema", "json_schema": {}},
        "metadata": {"team": "legal", "n": 3, "off": false},
    });
    let mut full = View::of_body(body.as_object().unwrap());
    full.tags = vec![("urgent".to_owned(), String::new()), ("tenant".to_owned(), "acme".to_owned())];
    for (when, plain, rich) in [
        (json!({"tools": true}), false, true),
        (json!({"tools": false}), true, false),
        (json!({"images": true}), false, true),
        (json!({"json_schema": true}), false, true),
        (json!({"audio": true}), false, false),
        (json!({"turns": 1}), true, false),
        (json!({"turns": ">= 2"}), false, true),
        (json!({"prompt_tokens": "< 20"}), true, false),
        (json!({"prompt_tokens": {"min": 700}}), false, true),
        (json!({"words": ["summarise"]}), true, false),
        (json!({"words": "delta"}), false, true),
        (json!({"words": "beta"}), false, false),
        (json!({"words": "beta", "in": "user"}), false, true),
        (json!({"words": "gamma", "in": "user"}), false, false),
        (json!({"words": ["gamma"], "in": "conversation"}), false, true),
        (json!({"words": 12}), true, false),
        (json!({"pattern": r"\d+ EUR"}), true, false),
        (json!({"pattern": [r"^first", r"alpha$"], "in": "conversation"}), false, false),
        (json!({"pattern": [r"(?m)^first", "x"], "in": "conversation"}), false, true),
        (json!({"metadata": {"team": "legal"}}), false, true),
        (json!({"metadata": {"team": ["tax", "legal"], "n": 3}}), false, true),
        (json!({"metadata": {"team": "legal", "n": 4}}), false, false),
        (json!({"metadata": {"off": true}}), false, false),
        (json!({"metadata": {"off": false}}), true, true),
        (json!({"tags": {"urgent": true}}), false, true),
        (json!({"tags": {"tenant": "acme", "urgent": true}}), false, true),
        (json!({"tags": "urgent"}), false, true),
        (json!({"tags": ["urgent"]}), false, true),
        (json!({"tags": {"urgent": false}}), true, false),
        (json!({"any": [{"words": "nothing"}, {"tools": true}]}), false, true),
        (json!({"all": [{"images": true}, {"tools": true}]}), false, true),
        (json!({"not": {"tools": true}}), true, false),
        (json!({"turns": ">= 1", "not": {"any": [{"tools": true}, {"images": true}]}}), true, false),
    ] {
        assert_eq!(holds(&when, &text), plain, "{when} of the plain request");
        assert_eq!(holds(&when, &full), rich, "{when} of the rich request");
    }
}

#[test]
fn languages_are_guessed() {
    let german = View::of_text("Ich weiß nicht, was ich mit diesem Text machen soll, und bitte um Hilfe.");
    let english = View::of_text("I do not know what to do with this text, and I would like some help.");
    let when = json!({"language": ["de", "FR"]});
    assert!(holds(&when, &german) && !holds(&when, &english));
    assert!(!holds(&json!({"language": "de"}), &View::of_text("")));
    // In YAML 1.2 this is Norwegian, not false; Python's YAML is older.
    yaml("rules: [{when: {language: no}, use: mid}]");
    assert_eq!(
        refused_json(&json!({"rules": [{"when": {"language": false}, "use": "mid"}]})),
        "rules[0].when.language: expected the code of a language, such as de, or a list of them, found false; put a \
         text into quotes"
    );
}

#[test]
fn tasks_are_those_the_caller_gives() {
    let when = json!({"task": ["classification", "summarization"]});
    assert!(holds(&when, &with_task("x", "classification_sentiment")));
    assert!(holds(&when, &with_task("x", " classification ")));
    assert!(!holds(&when, &with_task("x", "translation")));
    assert!(holds(&json!({"task": "none"}), &with_task("Translate this into French: good morning", "none")));
    assert!(!holds(&json!({"task": "none"}), &with_task("x", "coding")));
    let rules = rules(&json!({"preset": "article"}));
    let verdict = rules.choose(&with_task("asdf", "sorting_socks")).unwrap();
    assert_eq!((verdict.rung.as_deref(), verdict.label), (Some("mid"), None));
    assert_eq!(
        verdict.notes,
        ["the task 'sorting_socks' is not one that rules know, so it was guessed where asked for"]
    );
}

#[test]
fn the_article_is_a_preset() {
    let rules = rules(&json!({"preset": "article"}));
    let kinds = [
        ("cheap", "classification_sentiment entity_extraction format_conversion keyword_extraction text_reformatting"),
        ("mid", "summarization translation simple_qa content_moderation code_explanation"),
        (
            "expensive",
            "complex_reasoning code_generation_debugging creative_writing math_problem_solving strategy_planning",
        ),
    ];
    for (rung, names) in kinds {
        for name in names.split(' ') {
            let verdict = rules.choose(&with_task("some text", name)).unwrap();
            assert_eq!((verdict.rung.as_deref(), verdict.label.as_deref()), (Some(rung), Some(name)));
        }
    }
    for (name, rung) in [
        ("classification", "cheap"),
        ("extraction", "cheap"),
        ("formatting", "cheap"),
        ("summarization", "mid"),
        ("translation", "mid"),
        ("simple_qa", "mid"),
        ("reasoning", "expensive"),
        ("coding", "expensive"),
        ("creative", "expensive"),
    ] {
        assert_eq!(rules.choose(&with_task("some text", name)).unwrap().rung.as_deref(), Some(rung), "{name}");
    }
    let quantum = rules.choose(&with_task("What is quantum entanglement?", "simple_qa")).unwrap();
    assert_eq!((quantum.rung.as_deref(), quantum.floor.as_deref()), (Some("expensive"), Some("expensive")));
    assert_eq!(
        quantum.reason,
        "rule 'mid tasks' (task is simple_qa); at least expensive by rule 'hard subjects' (word 'quantum', task \
         is simple_qa)"
    );
    let review = rules.choose(&with_task("Is this review of Quantum tabs positive?", "classification")).unwrap();
    assert_eq!((review.rung.as_deref(), review.floor), (Some("cheap"), None));
}

#[test]
fn own_rules_go_before_the_preset() {
    let rules =
        yaml("preset: article\nrules:\n- {name: mine, when: {task: translation}, use: cheap}\notherwise: cheap");
    assert_eq!(rules.choose(&with_task("x", "translation")).unwrap().fired, ["mine"]);
    assert_eq!(rules.choose(&with_task("x", "coding")).unwrap().fired, ["expensive tasks"]);
    assert_eq!(rules.choose(&with_task("x", "none")).unwrap().rung.as_deref(), Some("cheap"));
    assert!(
        refused("preset: article\nrules: [{use: mid}]").starts_with("preset article:4:5: rules[0]: is never looked at")
    );
}

#[test]
fn otherwise_can_be_given_anew() {
    for text in ["rules: [{when: {words: a}, use: cheap}]\notherwise: mid", "[{when: {words: a}, use: cheap}]"] {
        let rules = Rules::of_yaml_otherwise(text, "x.yaml", "{\"model\": \"openai/m\"}").unwrap();
        assert_eq!(choose(&rules, "b").model.as_deref(), Some("openai/m"));
        let refused = Rules::of_yaml_otherwise(text, "x.yaml", "5").unwrap_err();
        assert_eq!(
            refused.message(),
            "x.yaml: otherwise: expected a rung, a router such as router-local-60%,15%, or {model: ...}, found 5"
        );
    }
}

#[test]
fn counted_repeats_are_bounded() {
    for (pattern, count) in [
        ("(?:(?:a{1,100})+x{1,50}){1,50}b", 7500),
        ("a{0,250}a{0,251}|b{2,}", 503),
        ("a{1000}{1000}{1000}", 1_000_000_000),
    ] {
        let found = refused_json(&json!([{"when": {"pattern": ["b", pattern]}, "use": "cheap"}]));
        let expected = format!(
            "[0].when.pattern[1]: the pattern '{pattern}': its repeats come to {count}; at most 500 are allowed"
        );
        assert_eq!(found, expected);
    }
    rules(&json!([{"when": {"pattern": [r"a{0,250}b{250}c{1,}(?:de?)*", r"(?:x{25}y){20}"]}, "use": "cheap"}]));
}

#[test]
fn each_mistake_is_told_with_its_place() {
    let rule = |body: &str| refused(&format!("rules:\n  - {body}\n"));
    for (found, expected) in [
        (
            rule("{when: {wordz: a}, use: cheap}"),
            "rules.yaml:2:13: rules[0].when: unknown condition 'wordz'; did you mean 'words'? There are task, words, \
             pattern, in, language, prompt_tokens, turns, tools, images, audio, json_schema, metadata, tags, any, all, not",
        ),
        (
            rule("{when: {task: translate}, use: cheap}"),
            "rules.yaml:2:19: rules[0].when.task: unknown task 'translate'",
        ),
        (
            rule("{when: {turns: soon}, use: cheap}"),
            "rules.yaml:2:20: rules[0].when.turns: expected a whole number, a range",
        ),
        (
            rule("{when: {tools: yes}, use: cheap}"),
            "rules.yaml:2:20: rules[0].when.tools: expected true or false, found 'yes'",
        ),
        (
            rule("{when: {pattern: 'a('}, use: cheap}"),
            "rules.yaml:2:22: rules[0].when.pattern: the pattern 'a(': unclosed group",
        ),
        (
            rule("{when: {pattern: '(?=a)'}, use: cheap}"),
            "rules.yaml:2:22: rules[0].when.pattern: the pattern '(?=a)': look-around, including",
        ),
        (
            rule(r"{when: {pattern: '\w{500}{500}'}, use: cheap}"),
            r"rules.yaml:2:22: rules[0].when.pattern: the pattern '\w{500}{500}': ",
        ),
        (
            rule("{when: {language: german}, use: cheap}"),
            "rules.yaml:2:23: rules[0].when.language: expected a language by",
        ),
        (rule("{when: {}, use: cheap}"), "rules.yaml:2:12: rules[0].when: says nothing"),
        (rule("{when: {in: user}, use: cheap}"), "rules.yaml:2:17: rules[0].when.in: `in` says where"),
        (rule("{when: {words: a, in: all}, use: cheap}"), "rules.yaml:2:27: rules[0].when.in: expected last, user or"),
        (rule("{when: {words: []}, use: cheap}"), "rules.yaml:2:20: rules[0].when.words: expected a word or a list"),
        (rule("{when: {words: [a, true]}, use: cheap}"), "rules.yaml:2:24: rules[0].when.words[1]: expected a word or"),
        (rule("{when: {tags: [a, b]}, use: cheap}"), "rules.yaml:2:19: rules[0].when.tags: expected names and values"),
        (
            rule("{when: {any: {words: a}}, use: cheap}"),
            "rules.yaml:2:18: rules[0].when.any: expected a list of conditions",
        ),
        (
            rule("{when: {any: [{word: a}]}, use: cheap}"),
            "rules.yaml:2:20: rules[0].when.any[0]: unknown condition 'word'",
        ),
        (rule("{when: [a], use: cheap}"), "rules.yaml:2:12: rules[0].when: expected conditions"),
        (rule("{when: {words: a}}"), "rules.yaml:2:5: rules[0]: says nothing of where to go"),
        (rule("{when: {words: a}, use: cheap, model: x}"), "rules.yaml:2:43: rules[0].model: a rule has one of use"),
        (rule("{when: {words: a}, use: cheap, floor: mid}"), "rules.yaml:2:5: rules[0]: `use` decides, so a `floor`"),
        (rule("{when: {words: a}, floor: expensive, ceiling: mid}"), "rules.yaml:2:31: rules[0].floor: the floor"),
        (rule("{when: {words: a}, ask: local-0.5}"), "rules.yaml:2:29: rules[0].ask: expected a router"),
        (rule("{when: {words: a}, use: [cheap]}"), "rules.yaml:2:29: rules[0].use: expected the name of a rung"),
        (
            rule("{when: {words: a}, model: {api_base: x}}"),
            "rules.yaml:2:31: rules[0].model: expected a model's name, or",
        ),
        (rule("{when: {words: a}, uze: cheap}"), "rules.yaml:2:24: rules[0]: unknown key 'uze'; did you mean 'use'?"),
        (
            rule("{name: a, use: cheap}\n  - {name: b, use: mid}"),
            "rules.yaml:3:5: rules[1]: is never looked at: rule 'a'",
        ),
        (
            rule("{name: a, when: {words: x}, use: cheap}\n  - {name: a, use: mid}"),
            "rules.yaml:3:12: rules[1].name: the name 'a' is taken by another rule (rules.yaml:2)",
        ),
        (
            refused("preset: article\nrules:\n  - {name: mid tasks, when: {words: x}, use: cheap}"),
            "rules.yaml:3: the name 'mid tasks' is taken by a rule of preset article",
        ),
        (refused(""), "rules.yaml: expected rules: a mapping with `rules`, or a list of them, found nothing"),
        (refused("rules: []"), "rules.yaml:1:8: rules: expected a list of rules, found an empty list"),
        (refused("rules:"), "rules.yaml:1:6: rules: expected a list of rules, found nothing"),
        (refused("otherwise: mid"), "rules.yaml:1:1: expected `rules` or `preset`, found neither"),
        (refused("preset: artikle"), "rules.yaml:1:9: preset: unknown preset 'artikle'; did you mean 'article'?"),
        (refused("rule: []"), "rules.yaml:1:1: unknown key 'rule'; did you mean 'rules'?"),
        (refused("rules: [{use: a}]\notherwise: 5"), "rules.yaml:2:12: otherwise: expected a rung"),
        (refused("rules: [{use: a}]\nrungs: [a, a]"), "rules.yaml:2:12: rungs[1]: the rung 'a' is there twice"),
        (refused("rules: [{use: a, use: b}]"), "rules.yaml:1:18: 'use' is already there, in line 1"),
    ] {
        assert!(found.starts_with(expected), "expected {expected}\n   found {found}");
    }
    assert_eq!(
        refused_json(
            &json!({"rules": [{"when": {"words": "a"}, "use": "x"}, {"when": {"words": {"a": 1}}, "use": "y"}]})
        ),
        "rules[1].when.words: expected a word or a list of words, found a mapping"
    );
    let two = json!({"rules": [
        {"when": {"words": "a"}, "model": {"model": "m", "api_key": "sk-1"}},
        {"model": {"model": "m", "api_key": "sk-2"}}
    ]});
    assert_eq!(refused_json(&two), "rules[1].model: m has other settings in another rule");
}

#[test]
fn what_would_have_been_is_told() {
    let rules = rules(&json!({"preset": "article"}));
    let said = rules.without_each(&with_task("What is quantum foam?", "simple_qa")).unwrap();
    assert_eq!(said, ["without rule 'hard subjects': mid, by rule 'mid tasks' (task is simple_qa)",]);
}

#[test]
fn patterns_take_linear_time() {
    let rules = rules(&json!({"rules": [
        {"when": {"pattern": ["(a+)+$", "(a|aa)+b", "(x+x+)+y", ".*.*=.*"], "in": "conversation"}, "use": "cheap"}
    ]}));
    let text = "a".repeat(200_000) + "!";
    let start = Instant::now();
    assert_eq!(choose(&rules, &text).rung.as_deref(), Some("mid"));
    assert!(start.elapsed().as_secs() < 5, "{:?}", start.elapsed());
}

#[test]
fn huge_and_deep_trees_are_bounded() {
    let mut when = json!({"words": "a"});
    for _ in 0..20 {
        when = json!({"not": when});
    }
    assert!(refused_json(&json!({"rules": [{"when": when, "use": "a"}]})).ends_with("more than 16 deep"));
    let deep = "[".repeat(100_000) + &"]".repeat(100_000);
    assert!(Rules::of_json(&deep).is_err());
    let many: Vec<Json> = (0..1001).map(|_| json!({"when": {"words": "a"}, "use": "a"})).collect();
    assert_eq!(refused_json(&json!({"rules": many})), "rules[1000]: more than 1000 rules");
    assert!(refused(&format!("#{}", "x".repeat(MOST_BYTES))).ends_with("longer than 1024 KiB"));
    let words: Vec<String> = (0..50_000).map(|n| format!("word{n}x")).collect();
    let rules = rules(&json!({"rules": [{"when": {"words": words}, "use": "cheap"}]}));
    assert_eq!(choose(&rules, "a word49999x").rung.as_deref(), Some("cheap"));
}

#[test]
fn texts_of_a_conversation() {
    let rules = rules(&json!({"rules": [{"when": {"words": "alpha"}, "use": "cheap"}]}));
    let turns = vec![Turn::new(Role::User, "alpha"), Turn::new(Role::Assistant, "beta")];
    let view = View { turns, ..View::default() };
    assert_eq!(rules.choose(&view).unwrap().rung.as_deref(), Some("cheap"), "the user's last message counts");
    assert_eq!(rules.choose(&View::default()).unwrap().rung.as_deref(), Some("mid"));
}

/// A piece of YAML out of what rules are made of.
fn piece() -> impl Strategy<Value = String> {
    proptest::sample::select(vec![
        "rules:",
        "- ",
        "when: ",
        "{",
        "}",
        "[",
        "]",
        ": ",
        ", ",
        "\n",
        "  ",
        "words",
        "task",
        "none",
        "use",
        "cheap",
        "floor",
        "any",
        "not",
        "turns",
        "'< 3'",
        "pattern",
        "'a+'",
        "*x",
        "&x ",
        "otherwise",
        "mid",
        "model",
        "in",
        "tags",
        "true",
        "~",
        "!!str ",
        "|",
        ">",
        "? ",
        "---\n",
        "preset",
        "article",
        "rungs",
        "12",
    ])
    .prop_map(str::to_owned)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn no_file_panics(pieces in proptest::collection::vec(piece(), 0..40)) {
        if let Ok(rules) = Rules::of_yaml(&pieces.concat(), "x") {
            rules.choose(&View::of_text("alpha a cheap")).unwrap();
        }
    }

    #[test]
    fn the_same_rules_in_both_forms(
        words in proptest::collection::vec("[a-d]{1,2}", 1..4), text in "[a-d ]{0,12}", turns in 0..3_u64,
    ) {
        let tree = json!({"rules": [{"when": {"words": words, "turns": turns}, "use": "cheap"}], "otherwise": "mid"});
        // JSON is YAML.
        let (a, b) = (rules(&tree), yaml(&tree.to_string()));
        prop_assert_eq!(choose(&a, &text), choose(&b, &text));
    }
}
