//! The language model as a classifier, against the original's answers on the golden checkpoint.
#![allow(clippy::expect_used, reason = "a test may panic")]

use std::fs;
use std::path::{Path, PathBuf};

use ferroute::neural::linear::Precision;
use ferroute::routers::causal::{Answer, CausalModel, Format, Options, Prompt};
use ferroute::{Error, Kind};
use serde_json::Value;

const SYSTEM: &str = "<|start_header_id|>system<|end_header_id|>\n\n{instruction}<|eot_id|>";
const USER: &str = "<|start_header_id|>user<|end_header_id|>\n\n{instruction}<|eot_id|>";

fn goldens() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/causal_llm")
}

fn json(name: &str) -> Vec<Value> {
    let text = fs::read_to_string(goldens().join(name)).expect("the goldens are in the repository");
    serde_json::from_str(&text).expect("JSON")
}

fn prompt(folder: &Path) -> Prompt {
    Prompt::open(folder, &Format::new(SYSTEM, USER).expect("the format")).expect("the prompt files")
}

fn model(checkpoint: &str, precision: Precision) -> (CausalModel, Prompt) {
    let (folder, base) = (goldens().join(checkpoint), goldens().join("base_tokenizer"));
    let labels = (1..=5).map(|i| format!("[[{i}]]")).collect();
    let options = Options { labels, precision, max_new_tokens: 6, threads: Some(2) };
    let prompt = prompt(&folder);
    let model = CausalModel::open(&folder, &base, false, options).expect("the checkpoint");
    model.share(&prompt).expect("short enough");
    (model, prompt)
}

fn answers(model: &CausalModel, prompts: &[Vec<u32>]) -> Vec<Answer> {
    model.answer(prompts, |_| Ok(())).expect("answers")
}

#[test]
fn the_golden_answers_at_once_and_one_by_one() {
    let (texts, rendered) = (json("prompts.json"), json("rendered.json"));
    for (checkpoint, outputs) in [("checkpoint", "outputs_f32.json"), ("checkpoint_padded", "padded_outputs_f32.json")]
    {
        let (model, prompt) = model(checkpoint, Precision::F32);
        assert!(model.shared_tokens() > 50, "{}", model.shared_tokens());
        let mut prompts = Vec::new();
        for (text, rendered) in texts.iter().zip(&rendered) {
            let text = prompt.render(text.as_str().expect("text"));
            assert_eq!(text, rendered["prompt_text"].as_str().expect("text"));
            prompts.push(model.tokenizer().encode(&text).expect("ids"));
            assert_eq!(serde_json::json!(prompts[prompts.len() - 1]), rendered["input_ids"]);
        }
        let all = answers(&model, &prompts);
        for ((answer, expected), ids) in all.iter().zip(json(outputs)).zip(&prompts) {
            let wanted = expected["win_rate"].as_f64().expect("a number");
            let found = answer.win_rate(4);
            assert!((found - wanted).abs() < 5e-5, "{found} {wanted}");
            assert_eq!(answer.logits.is_some(), !expected["label_token_index"].is_null());
            let shown = expected["output_ids"].as_array().expect("ids");
            assert_eq!(serde_json::json!(answer.ids), serde_json::json!(shown[..answer.ids.len()]));
            let alone = answers(&model, std::slice::from_ref(ids));
            assert_eq!(alone[0], *answer, "alone and in company to the bit");
        }
    }
}

#[test]
fn bf16_activations_stay_near() {
    let (model, prompt) = model("checkpoint", Precision::Bf16);
    let texts = json("prompts.json");
    let ids = texts.iter().map(|text| model.tokenizer().encode(&prompt.render(text.as_str().expect("text"))));
    let ids: Vec<_> = ids.map(|ids| ids.expect("ids")).collect();
    for (answer, expected) in answers(&model, &ids).iter().zip(json("outputs_bf16.json")) {
        if expected["min_top2_gap_until_label"].as_f64().is_none_or(|gap| gap < 0.1) {
            continue;
        }
        let (found, wanted) = (answer.win_rate(4), expected["win_rate"].as_f64().expect("a number"));
        assert!((found - wanted).abs() < 0.06, "{found} {wanted}");
    }
}

#[test]
fn prompts_may_leave_the_shared_beginning_anywhere() {
    let (model, prompt) = model("checkpoint", Precision::F32);
    let whole = model.tokenizer().encode(&prompt.render("Hello there")).expect("ids");
    let other = vec![7; 9];
    let cuts: Vec<Vec<u32>> = (1..whole.len()).map(|cut| whole[..cut].to_vec()).chain([other]).collect();
    let together = answers(&model, &cuts);
    for (ids, answer) in cuts.iter().zip(together) {
        assert_eq!(answers(&model, std::slice::from_ref(ids))[0], answer, "{}", ids.len());
    }
    let failed = model.answer(&[vec![]], |_| Ok(())).expect_err("nothing to continue");
    assert!(failed.message().contains("at least one token"), "{failed}");
    let failed = model.answer(&[vec![5_000]], |_| Ok(())).expect_err("no such token");
    assert!(failed.message().contains("1015 rows"), "{failed}");
    assert_eq!(model.answer(&[], |_| Ok(())).expect("nothing to do"), []);
}

#[test]
fn long_work_can_be_ended_anywhere() {
    let (model, prompt) = model("checkpoint", Precision::F32);
    let layers = model.decoder().config().layers;
    let long: Vec<u32> = (0..2_000).map(|i| i % 900).collect();
    let all = |limit: usize| {
        let mut calls = 0;
        let result = model.first_logits(&long, |_| {
            calls += 1;
            if calls < limit { Ok(()) } else { Err(Error::new(Kind::Cancelled, "enough")) }
        });
        (result.is_ok(), calls)
    };
    assert_eq!(all(usize::MAX), (true, 4 * layers), "after each layer of each pass");
    assert_eq!(all(2), (false, 2));
    let mut calls = 0;
    let ended = model.answer(&[long], |_| {
        calls += 1;
        Err(Error::new(Kind::Cancelled, "enough"))
    });
    assert_eq!((ended.expect_err("ended").kind(), calls), (Kind::Cancelled, 1));
    // Texts are not all tokenized before the first is answered.
    let mut calls = Vec::new();
    let answers = model.answer_texts(&prompt, &["a"; 600], |done| {
        calls.push(done);
        Ok(())
    });
    assert_eq!((answers.expect("answers").len(), calls.iter().sum::<usize>()), (600, 600));
    let before = calls.iter().position(|&done| done > 0).expect("progress");
    assert!((256..300 + 6 * layers).contains(&before), "{before}");
}
