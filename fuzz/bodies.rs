//! The body of each fuzz target, for the fuzzer and for `cargo test`, which replays the corpora.

use std::path::Path;

use ferroute::gateway;
use ferroute::providers::{Dialect, fuzz};
use ferroute::routers::local::LocalModel;
use ferroute::routers::rules::Rules;
use ferroute::routing::model_name::Known;
use ferroute::routing::{Rule, model_name, python_float};
use ferroute::text::view::View;

/// A model string is parsed or refused, for a pair and for a ladder; what is parsed is validated or refused, and written
/// numbers read back.
pub fn model_name(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (hyphenated, naming) = (["my-own".to_owned()], ["rules".to_owned()]);
    let names = ["cheap", "mid", "expensive"].map(str::to_owned);
    for rungs in 2..=names.len() {
        let known = Known { hyphenated: &hyphenated, naming: &naming, rungs };
        let Ok(requested) = model_name::parse(&text, known) else { continue };
        let shown = || "shown".to_owned();
        let routers = ["local", "my-own", "rules"];
        let _ = model_name::validate(&requested.router, routers, &requested.rule, &names[..rungs], shown);
        let numbers = match requested.rule {
            Rule::Threshold(number) | Rule::Share(number) => vec![number],
            Rule::Thresholds(numbers) | Rule::Shares(numbers) => numbers,
            Rule::Open => vec![],
        };
        for number in numbers {
            let again = python_float::parse(&python_float::repr(number));
            assert!(again.is_some_and(|again| again == number || number.is_nan()), "{number} does not read back");
        }
    }
}

/// A checkpoint is read or refused, whatever the bytes.
pub fn safetensors(data: &[u8]) {
    ferroute::data::tensors::fuzz_safetensors(data);
}

/// The fast path for ASCII gives the ids of the general one, and a score is a win rate.
pub fn wordpiece(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let model = LocalModel::shared().expect("the embedded model is whole");
    assert!(model.featuriser().table().tokenizer().paths_agree(&text), "{text:?}");
    let win_rate = model.score(&text);
    assert!((0.0..=1.0).contains(&win_rate), "{text:?}: {win_rate}");
}

/// A configuration is refused with the file's name, or read; no secret is shown either way.
pub fn config(data: &[u8]) {
    const SECRET: &str = "k0-which-nobody-may-see-0k";
    let text = String::from_utf8_lossy(data);
    let env = |_: &str| Some(SECRET.to_owned());
    let around = gateway::config::Surroundings { env: &env, folder: Path::new("/nonexistent") };
    match gateway::config::read(&text, "gateway.yaml", &around) {
        Ok(config) => {
            assert!(config.plain.is_object() && config.shown.is_object());
            assert!(!config.shown.to_string().contains(SECRET), "{text:?}");
        }
        Err(mistakes) => {
            assert!(!mistakes.is_empty());
            for mistake in mistakes.iter().map(ToString::to_string) {
                assert!(mistake.starts_with("gateway.yaml") && !mistake.contains(SECRET), "{mistake}");
            }
        }
    }
}

/// A file of rules is refused with its name, or decides on every request.
pub fn rules(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    match Rules::of_yaml(&text, "rules.yaml") {
        Ok(rules) => {
            let verdict = rules.choose(&View::of_text(text)).expect("the task guess is whole");
            assert!(verdict.rung.is_some() || verdict.model.is_some() || verdict.ask.is_some());
        }
        Err(error) => {
            assert!(error.message().starts_with("rules.yaml") || error.message().starts_with("preset"), "{error}");
        }
    }
}

/// Events are the same however their bytes come.
pub fn sse(data: &[u8]) {
    fuzz::sse(data);
}

/// Answers and streams of `OpenAI` and the compatible providers.
pub fn openai_answers(data: &[u8]) {
    fuzz::answers(Dialect::OpenAi, data);
}

/// Answers and streams of Anthropic.
pub fn anthropic_answers(data: &[u8]) {
    fuzz::answers(Dialect::Anthropic, data);
}

/// Answers and streams of Gemini.
pub fn gemini_answers(data: &[u8]) {
    fuzz::answers(Dialect::Gemini, data);
}

/// What callers of the gateway send in `OpenAI`'s Chat Completions.
pub fn openai_bodies(data: &[u8]) {
    gateway::fuzz::openai(data);
}

/// What callers of the gateway send in Anthropic's Messages.
pub fn anthropic_bodies(data: &[u8]) {
    gateway::fuzz::anthropic(data);
}

/// What callers of the gateway send in `OpenAI`'s Responses.
pub fn responses_bodies(data: &[u8]) {
    gateway::fuzz::responses(data);
}
