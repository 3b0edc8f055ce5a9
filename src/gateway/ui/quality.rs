//! How good the answers were, as far as somebody has said so: by model, and by kind of task.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::About;
use crate::ledger::picture::{Judged, Picture, Weighted};
use crate::ledger::rank;

/// For each source of scores, those that know best first: the models' mean scores, and those by kind of task. Only answers
/// that were handed on: those asked to compare with are of other calls.
pub(super) fn made(about: &About, picture: &Picture) -> Value {
    let mut sources = BTreeMap::<(u8, &str), Vec<&Judged>>::new();
    for judged in picture.judged.iter().filter(|judged| judged.own) {
        sources.entry((rank(&judged.source), &judged.source)).or_default().push(judged);
    }
    sources.into_iter().map(|((_, source), scores)| of_source(about, source, &scores)).collect()
}

fn of_source(about: &About, source: &str, scores: &[&Judged]) -> Value {
    let mut models = BTreeMap::<(usize, &str), Weighted>::new();
    let mut tasks = BTreeMap::<Option<&str>, BTreeMap<(usize, &str), Weighted>>::new();
    for judged in scores {
        let model = about.order(&judged.model);
        models.entry(model).or_default().merge(&judged.scores);
        tasks.entry(judged.task.as_deref()).or_default().entry(model).or_default().merge(&judged.scores);
    }
    let n: i64 = models.values().map(|of| of.n).sum();
    let of_task = |(task, models): (Option<&str>, BTreeMap<(usize, &str), Weighted>)| json!({"task": task, "models": means(&models)});
    json!({
        "source": source,
        "n": n,
        "models": means(&models),
        "tasks": tasks.into_iter().map(of_task).collect::<Value>(),
    })
}

fn means(models: &BTreeMap<(usize, &str), Weighted>) -> Value {
    let mean = |((_, model), of): (&(usize, &str), &Weighted)| {
        let interval = of.interval();
        json!({
            "model": model,
            "n": of.n,
            "mean": of.mean(),
            "low": interval.map(|ends| ends.0),
            "high": interval.map(|ends| ends.1),
        })
    };
    models.iter().map(mean).collect()
}

#[cfg(test)]
mod tests {
    use super::super::Rung;
    use super::*;

    #[test]
    fn sources_and_tasks_are_told_apart() {
        let judged = |source: &str, model: &str, own, task: Option<&str>, score| Judged {
            source: source.into(),
            model: model.into(),
            own,
            task: task.map(str::to_owned),
            router: None,
            index: None,
            scores: Weighted { n: 4, weight: 4.0, squares: 4.0, score: 4.0 * score },
        };
        let picture = Picture {
            judged: vec![
                judged("judge:a", "weak", true, None, 0.25),
                judged("user", "strong", true, Some("coding"), 1.0),
                judged("user", "strong", true, None, 0.5),
                judged("user", "weak", true, Some("coding"), 0.0),
                judged("user", "weak", false, Some("coding"), 1.0),
            ],
            ..Picture::default()
        };
        let rungs = ["weak", "strong"].map(|model| Rung { tier: None, model: model.into() });
        let told = made(&About { rungs: rungs.into(), ..About::default() }, &picture);
        assert_eq!(
            (&told[0]["source"], &told[0]["n"], &told[1]["source"]),
            (&json!("user"), &json!(12), &json!("judge:a"))
        );
        let of = |models: &Value, place: usize| (models[place]["model"].clone(), models[place]["mean"].as_f64());
        assert_eq!(of(&told[0]["models"], 0), (json!("weak"), Some(0.0)));
        assert_eq!(of(&told[0]["models"], 1), (json!("strong"), Some(0.75)));
        let tasks = &told[0]["tasks"];
        assert_eq!((&tasks[0]["task"], &tasks[1]["task"]), (&Value::Null, &json!("coding")));
        assert_eq!(of(&tasks[1]["models"], 1), (json!("strong"), Some(1.0)));
        assert!(tasks[1]["models"][1]["low"].as_f64().is_some_and(|low| low < 0.5), "four scores prove little");
    }
}
