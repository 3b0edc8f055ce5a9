use super::crossfit::{self, Chance};
use super::heads::{Heads, fit};
use super::*;
use crate::learn::noise::Key;
use crate::text::lexical;

const WIDTH: usize = 4;

/// Prompts whose first embedding number says which of the models is ahead, as far as `signal` goes.
struct World {
    design: Design,
    outcomes: Outcomes,
    units: Vec<u32>,
}

fn world(n: usize, models: usize, signal: f64, seed: u64, threads: usize) -> World {
    let base = WIDTH + lexical::COUNT;
    let mut raw = vec![0.0_f32; n * base];
    let mut noise = vec![0.0_f32; n * models];
    Key::new(seed).add_normal(&mut raw, 1.0);
    Key::new(seed + 1).uniform(&mut noise);
    let values = (0..n * models).map(|place| {
        let (row, model) = (place / models, place % models);
        let x = f64::from(raw[row * base]).clamp(-2.0, 2.0);
        let sign = if model == 0 { 1.0 } else { -1.0 };
        let chance = 0.5 + sign * signal * x;
        f64::from(u8::from(f64::midpoint(f64::from(noise[place]), 1.0) < chance))
    });
    let outcomes = Outcomes::new(values.collect(), models).unwrap();
    let design = Design::new(&raw, WIDTH, &vec![0.0; n], threads).unwrap();
    World { design, outcomes, units: (0..n as u32).collect() }
}

const PAIR: Pair = Pair { strong: 0, weak: 1 };

fn quiet() -> impl FnMut(usize) -> Result<()> {
    |_| Ok(())
}

fn fitted(world: &World) -> Heads {
    let rows: Vec<u32> = (0..world.design.count() as u32).collect();
    fit(&world.design, &world.outcomes, PAIR, &rows, true, &mut quiet()).unwrap()
}

fn with_gaps(world: &World, every: usize) -> Outcomes {
    let models = world.outcomes.models();
    let values = (0..world.outcomes.count()).flat_map(|row| (0..models).map(move |model| (row, model)));
    let values = values.map(
        |(row, model)| {
            if (row + model).is_multiple_of(every) { f64::NAN } else { world.outcomes.at(row, model) }
        },
    );
    Outcomes::new(values.collect(), models).unwrap()
}

#[test]
fn the_signal_is_found_with_two_models_and_with_more() {
    for models in [2, 6] {
        let world = world(3_000, models, 0.2, 3, 2);
        for outcomes in [world.outcomes.clone(), with_gaps(&world, 3)] {
            let rows: Vec<u32> = (0..3_000).collect();
            let found = fit(&world.design, &outcomes, PAIR, &rows, true, &mut quiet()).unwrap();
            let errors: f64 = rows
                .iter()
                .map(|&row| {
                    let x = f64::from(world.design.row(row as usize)[0]);
                    let ahead = |m: usize| heads::value(&found.lines[m], &world.design, row);
                    f64::from(u8::from((ahead(0) > ahead(1)) != (x > 0.0)))
                })
                .sum();
            assert!(errors / 3_000.0 < 0.12, "{models}: {errors}");
        }
    }
}

#[test]
fn threads_change_no_bit() {
    let (one, many) = (world(9_000, 3, 0.1, 5, 1), world(9_000, 3, 0.1, 5, 8));
    assert_eq!(fitted(&one), fitted(&many));
    let folds = folds::assign(&one.units, 5, 0).unwrap();
    let test = |world: &World| {
        let units = &world.units;
        crossfit::chance(&world.design, &world.outcomes, PAIR, (&folds, units), (9, 1), true, &mut quiet()).unwrap()
    };
    assert_eq!(test(&one), test(&many));
}

#[test]
fn chance_is_told_from_signal() {
    let p_value = |signal: f64, seed: u64| {
        let world = world(400, 2, signal, seed, 1);
        let folds = folds::assign(&world.units, 5, 0).unwrap();
        let ways = ((&*folds, &*world.units), (49, seed));
        let Chance { p_value, .. } =
            crossfit::chance(&world.design, &world.outcomes, PAIR, ways.0, ways.1, true, &mut quiet()).unwrap();
        p_value
    };
    assert!((0..5).all(|seed| p_value(0.25, seed) <= 0.02 + 1e-9));
    let by_chance = (100..140).filter(|&seed| p_value(0.0, seed) <= 0.1 + 1e-9).count();
    // Of 40 tests at a level of a tenth, more than eleven are rejected once in a thousand times.
    assert!(by_chance <= 11, "{by_chance} of 40");
}

#[test]
fn held_out_rows_are_not_looked_at() {
    let world = world(600, 2, 0.2, 9, 1);
    let folds = folds::assign(&world.units, 3, 7).unwrap();
    let scores =
        |outcomes: &Outcomes| crossfit::heads(&world.design, outcomes, PAIR, &folds, true, &mut quiet()).unwrap();
    let before = scores(&world.outcomes);
    let row = folds.iter().position(|&fold| fold == 1).unwrap();
    let mut values: Vec<f64> =
        (0..600).flat_map(|row| [world.outcomes.at(row, 0), world.outcomes.at(row, 1)]).collect();
    values[2 * row] = 1.0 - values[2 * row];
    let after = scores(&Outcomes::new(values, 2).unwrap());
    // The fold's own order comes from the others; only the common mean moves.
    let inside: Vec<usize> = (0..600).filter(|&row| folds[row] == 1).collect();
    let shift = after[2 * inside[0]] - before[2 * inside[0]];
    assert!(inside.iter().all(|&row| (after[2 * row] - before[2 * row] - shift).abs() < 1e-12));
    assert!((0..600).any(|row| folds[row] != 1 && (after[2 * row] - before[2 * row] - shift).abs() > 1e-9));
}

#[test]
fn units_stay_together_and_folds_are_even() {
    let units: Vec<u32> = (0..1_000_u32).map(|row| row % 90).collect();
    let folds = folds::assign(&units, 4, 3).unwrap();
    let mut sizes = [0_usize; 4];
    for (unit, fold) in units.iter().zip(&folds) {
        assert_eq!(*fold, folds[*unit as usize]);
        sizes[*fold as usize] += 1;
    }
    assert!(sizes.iter().all(|&size| (225..=275).contains(&size)), "{sizes:?}");
    assert!(folds::assign(&units, 91, 0).is_err());
    assert!(folds::assign(&units, 1, 0).is_err());
    assert!(folds::assign(&[], 2, 0).is_err());
}

#[test]
fn a_new_model_follows_the_latents_from_few_labels() {
    let world = world(4_000, 6, 0.2, 11, 2);
    let found = fitted(&world);
    let rows = 300;
    // It behaves like model 0, and little of it is known.
    let raw: Vec<f32> = (0..rows).flat_map(|row| world.design.row(row).to_vec()).collect();
    let part = Design { recipe: world.design.recipe.clone(), rows: with_logit(&raw, world.design.width()), threads: 1 };
    let labels: Vec<f64> = (0..rows).map(|row| world.outcomes.at(row, 0)).collect();
    let line = added::line(&part, &found.latents, &labels).unwrap();
    let alone = added::line(&part, &[], &labels).unwrap();
    let fit = |line: &Line| {
        let all = rows as u32..4_000;
        let truth = |row: u32| heads::value(&found.lines[0], &world.design, row);
        all.map(|row| (heads::value(line, &world.design, row) - truth(row)).powi(2)).sum::<f64>()
    };
    assert!(fit(&line) < fit(&alone), "{} {}", fit(&line), fit(&alone));
}

fn with_logit(rows: &[f32], width: usize) -> Vec<f32> {
    rows.chunks_exact(width).flat_map(|row| row.iter().copied().chain([0.0])).collect()
}

use crate::routers::fitted::Line;

#[test]
fn edges_are_errors_or_means() {
    assert!(Outcomes::new(vec![0.5; 3], 1).is_err());
    assert!(Outcomes::new(vec![0.5, 1.5], 2).unwrap_err().message().contains("row 0 of model 1"));
    assert!(Outcomes::new(vec![0.5, f64::NAN], 2).unwrap_err().message().contains("model 1"));
    assert!(Design::new(&[f32::NAN; WIDTH + lexical::COUNT], WIDTH, &[0.0], 1).is_err());
    // Labels that are all the same leave nothing but their mean.
    let world = world(50, 2, 0.0, 1, 1);
    let same = Outcomes::new(vec![1.0; 100], 2).unwrap();
    let rows: Vec<u32> = (0..50).collect();
    let found = fit(&world.design, &same, PAIR, &rows, true, &mut quiet()).unwrap();
    assert!((0..50).all(|row| (heads::value(&found.lines[0], &world.design, row) - 1.0).abs() < 1e-12));
    let folds = folds::assign(&world.units, 5, 0).unwrap();
    let found = crossfit::chance(&world.design, &same, PAIR, (&folds, &world.units), (9, 0), true, &mut quiet());
    assert_eq!(found.unwrap().p_value, 1.0);
}
