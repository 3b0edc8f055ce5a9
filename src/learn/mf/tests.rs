use super::*;

#[allow(clippy::unnecessary_wraps, reason = "what a watch has to return")]
fn unwatched(_: usize) -> Result<()> {
    Ok(())
}

/// Battles whose winner depends on the prompt: models 0 and 1 by the sign of its first number, model 2 always loses.
fn task(count: usize, text_dim: usize, seed: u64) -> (Vec<f32>, Vec<Battle>) {
    let mut embeddings = vec![0.0; count * text_dim];
    for (index, row) in embeddings.chunks_exact_mut(text_dim).enumerate() {
        Key::new(seed).part(index as u64).add_normal(row, 1.0 / (text_dim as f32).sqrt());
        // Without something that all embeddings have, a model cannot be better as such.
        row[1] = 0.3;
    }
    let battles = (0..count).map(|prompt| {
        let first = embeddings[prompt * text_dim] > 0.0;
        let (winner, loser) = match prompt % 3 {
            0 => (usize::from(first), usize::from(!first)),
            1 => (0, 2),
            _ => (1, 2),
        };
        Battle { winner, loser, prompt }
    });
    let battles = battles.collect();
    (embeddings, battles)
}

fn settings() -> Settings {
    Settings { lr: 3e-3, alpha: 0.02, ..Settings::default() }
}

/// Mean loss in f64, straight from the formula.
fn exact_loss(trainer: &Trainer, embeddings: &[f32], batch: &[Battle]) -> f64 {
    let (width, dim) = (trainer.width, trainer.dim);
    let row = |model: usize| -> Vec<f64> {
        let row: Vec<f64> = trainer.weights.models[model * width..][..dim].iter().map(|&v| f64::from(v)).collect();
        let norm = row.iter().map(|v| v * v).sum::<f64>().sqrt().max(1e-12);
        row.iter().map(|v| v / norm).collect()
    };
    let total: f64 = batch
        .iter()
        .map(|battle| {
            let e = &embeddings[battle.prompt * trainer.text_dim..][..trainer.text_dim];
            let (winner, loser) = (row(battle.winner), row(battle.loser));
            let logit: f64 = (0..dim)
                .map(|d| {
                    let z = if trainer.use_proj {
                        let w = trainer.weights.projection.iter().skip(d).step_by(width);
                        w.zip(e).map(|(&w, &e)| f64::from(w) * f64::from(e)).sum()
                    } else {
                        f64::from(e[d])
                    };
                    (winner[d] - loser[d]) * f64::from(trainer.weights.classifier[d]) * z
                })
                .sum();
            (1.0 + (-logit).exp()).ln()
        })
        .sum();
    total / batch.len() as f64
}

fn gradients(trainer: &Trainer, rows: &Rows, batch: &[Battle]) -> Weights {
    let mut trainer = trainer.clone();
    let mut room = Room::new(batch.len(), trainer.text_dim, trainer.width).unwrap();
    // The gradients are left where Adam keeps its first moments.
    Crew::with(Some(1), |crew| {
        trainer.forward_backward(crew, rows, batch, None, &mut room, &mut unwatched).unwrap();
        let keep = |block: &mut Block, gradient: &[f32]| block.first.copy_from_slice(gradient);
        trainer.update(crew, batch, &room, &mut unwatched, keep).unwrap();
    });
    trainer.first
}

#[test]
fn gradients_are_the_differences_of_the_loss() {
    for (dim, text_dim, use_proj, count) in [(5, 7, true, 11), (16, 3, true, 1), (6, 6, false, 9)] {
        let (embeddings, battles) = task(count, text_dim, 3);
        let rows = Rows::of_f32(&embeddings, text_dim);
        let trainer = Trainer::new(dim, 3, text_dim, use_proj, 9).unwrap();
        let found = gradients(&trainer, &rows, &battles);
        let pick: [fn(&mut Weights) -> &mut Vec<f32>; 3] =
            [|w| &mut w.models, |w| &mut w.projection, |w| &mut w.classifier];
        for (which, pick) in pick.into_iter().enumerate() {
            let found = pick(&mut found.clone()).clone();
            for (index, &gradient) in found.iter().enumerate() {
                if index % trainer.width >= dim {
                    assert_eq!(gradient, 0.0, "padding");
                    continue;
                }
                let at = |step: f32| {
                    let mut moved = trainer.clone();
                    pick(&mut moved.weights)[index] += step;
                    let there = f64::from(pick(&mut moved.weights)[index]);
                    (exact_loss(&moved, &embeddings, &battles), there)
                };
                let ((high, right), (low, left)) = (at(1e-3), at(-1e-3));
                let difference = (high - low) / (right - left);
                let error = (f64::from(gradient) - difference).abs();
                assert!(error < 2e-6, "tensor {which}, {index}: {gradient} for {difference} ({dim}, {text_dim})");
            }
        }
    }
}

#[test]
fn it_learns_what_depends_on_the_prompt() {
    let (embeddings, battles) = task(3000, 24, 1);
    let rows = Rows::of_f32(&embeddings, 24);
    let (train, held) = crate::learn::battles::split(&battles, 0.8, 1).unwrap();
    let [train, held] = [train, held].map(|part| Battles::new(part, 3, &rows, &mut unwatched).unwrap());
    let mut trainer = Trainer::new(16, 3, 24, true, 1).unwrap();
    let mut heard = Vec::new();
    let fit = trainer
        .fit(&rows, (&train, &held), &settings(), (200, Some(5)), &mut unwatched, |epoch| {
            heard.push(*epoch);
            Ok(())
        })
        .unwrap();
    assert_eq!(heard, fit.epochs);
    let best = fit.epochs[fit.best - 1].held_out.unwrap();
    let baseline = fit.baseline.unwrap();
    assert!(best.right as f64 > 0.93 * held.len() as f64, "{best:?}");
    assert!(baseline.right < 540 && baseline.right > 450 && baseline.loss > best.loss + 0.1, "{baseline:?}");
    // The weights that are left are those of the best epoch, as the router will compute with them.
    assert_eq!(trainer.evaluate(&rows, &held, None, &mut unwatched).unwrap(), best);
    let model = trainer.model().unwrap();
    let right = held.as_slice().iter().filter(|b| model.win_rate(&rows, b.prompt, b.winner, b.loser).unwrap() > 0.5);
    assert_eq!(right.count(), best.right);
    let smallest = fit.epochs.iter().map(|e| e.held_out.unwrap().loss).fold(f64::INFINITY, f64::min);
    assert_eq!(smallest, best.loss);
}

#[test]
fn threads_do_not_change_a_bit() {
    let (embeddings, battles) = task(500, 200, 5);
    let rows = Rows::of_f32(&embeddings, 200);
    let battles = Battles::new(battles, 3, &rows, &mut unwatched).unwrap();
    let weights = |threads, seed| {
        let mut trainer = Trainer::new(100, 3, 200, true, seed).unwrap();
        let settings = Settings { seed, threads, ..settings() };
        let loss: Vec<f64> =
            (0..3).map(|_| trainer.epoch(&rows, &battles, &settings, &mut unwatched).unwrap()).collect();
        (trainer.weights.models, trainer.weights.projection, trainer.weights.classifier, loss)
    };
    let one = weights(Some(1), 7);
    for threads in [Some(2), Some(5), None] {
        assert!(weights(threads, 7) == one, "{threads:?}");
    }
    assert!(weights(Some(1), 8) != one);
}

#[test]
fn a_model_goes_in_and_comes_out_unchanged() {
    for use_proj in [true, false] {
        let trainer = Trainer::new(20, 5, 20, use_proj, 2).unwrap();
        let model = trainer.model().unwrap();
        let again = Trainer::of(&model).unwrap();
        assert_eq!(again.weights.models, trainer.weights.models);
        assert_eq!(again.weights.projection, trainer.weights.projection);
        assert_eq!(again.weights.classifier, trainer.weights.classifier);
        assert_eq!(again.units, trainer.units);
    }
}

#[test]
fn what_cannot_be_trained_is_an_error() {
    let (embeddings, battles) = task(9, 4, 1);
    let rows = Rows::of_f32(&embeddings, 4);
    let battles = Battles::new(battles, 3, &rows, &mut unwatched).unwrap();
    let none = Battles::default();
    let mut trainer = Trainer::new(4, 3, 4, true, 1).unwrap();
    let mut message = |battles: &Battles, settings: Settings, epochs| {
        let fit = trainer.fit(&rows, (battles, &none), &settings, (epochs, None), &mut unwatched, |_| Ok(()));
        fit.unwrap_err().message().to_owned()
    };
    assert!(message(&none, settings(), 1).contains("at least one battle"));
    assert!(message(&battles, settings(), 0).contains("epochs"));
    assert!(message(&battles, Settings { batch_size: 0, ..settings() }, 1).contains("batch_size"));
    assert!(message(&battles, Settings { lr: f64::NAN, ..settings() }, 1).contains("lr"));
    assert!(message(&battles, Settings { alpha: -1.0, ..settings() }, 1).contains("alpha"));
    assert!(Trainer::new(4, 3, 5, false, 1).is_err());
    assert!(Trainer::new(0, 3, 5, true, 1).is_err());
    assert!(Trainer::new(usize::MAX / 64, 64, 5, true, 1).is_err());
    let wide = Rows::of_f32(&embeddings, 3);
    assert!(Trainer::new(4, 3, 4, true, 1).unwrap().evaluate(&wide, &battles, None, &mut unwatched).is_err());
    // Numbers that overflow on the way end with a message, not with a model of NaN.
    let huge = Settings { lr: 1e30, batch_size: 1, ..settings() };
    let error = Trainer::new(4, 3, 4, true, 1).unwrap().epoch(&rows, &battles, &huge, &mut unwatched).unwrap_err();
    assert!(error.message().contains("a smaller lr may help"), "{error}");
}

#[test]
fn without_held_out_battles_the_last_epoch_is_kept() {
    let (embeddings, battles) = task(30, 4, 1);
    let rows = Rows::of_f32(&embeddings, 4);
    let battles = Battles::new(battles, 3, &rows, &mut unwatched).unwrap();
    let mut trainer = Trainer::new(4, 3, 4, true, 1).unwrap();
    let fit = trainer
        .fit(&rows, (&battles, &Battles::default()), &settings(), (3, Some(1)), &mut unwatched, |_| Ok(()))
        .unwrap();
    assert_eq!((fit.best, fit.epochs.len(), fit.baseline), (3, 3, None));
    assert!(fit.epochs.iter().all(|epoch| epoch.held_out.is_none()));
    let stopped = trainer.fit(&rows, (&battles, &battles), &settings(), (9, None), &mut unwatched, |epoch| {
        if epoch.number == 2 { Err(Error::new(Kind::Cancelled, "enough")) } else { Ok(()) }
    });
    assert_eq!(stopped.unwrap_err().kind(), Kind::Cancelled);
}

#[test]
fn a_watch_is_called_within_an_epoch_and_ends_it() {
    // One batch of all battles: each half of its one step is several pieces.
    let (embeddings, battles) = task(10_000, 512, 1);
    let rows = Rows::of_f32(&embeddings, 512);
    let battles = Battles::new(battles, 3, &rows, &mut unwatched).unwrap();
    let settings = Settings { batch_size: battles.len(), threads: Some(1), ..settings() };
    let mut trainer = Trainer::new(64, 3, 512, true, 1).unwrap();
    let untouched = trainer.weights.clone();
    // Ended at the call of this number; with how many calls, and what was moved: the projection's ends, and the rest.
    let mut ended = |at: usize| {
        let mut calls = 0;
        let result = trainer.epoch(&rows, &battles, &settings, &mut |_| {
            calls += 1;
            if calls == at { Err(Error::new(Kind::Cancelled, "enough")) } else { Ok(()) }
        });
        assert_eq!(result.is_err(), calls == at);
        let (now, before) = (&trainer.weights, &untouched);
        let moved = (now.projection != before.projection, now.models != before.models);
        trainer = Trainer::new(64, 3, 512, true, 1).unwrap();
        (calls, moved)
    };
    let (all, moved) = ended(usize::MAX);
    assert!(all >= 30, "{all}");
    assert_eq!(moved, (true, true));
    assert_eq!(ended(2), (2, (false, false)), "before the first weight was moved");
    assert_eq!(ended(all - 1), (all - 1, (true, false)), "in the middle of the step");
    let mut calls = 0;
    let judged = trainer.evaluate(&rows, &battles, Some(1), &mut |_| {
        calls += 1;
        if calls == 3 { Err(Error::new(Kind::Cancelled, "enough")) } else { Ok(()) }
    });
    assert_eq!((judged.unwrap_err().kind(), calls), (Kind::Cancelled, 3));
}
