use std::path::Path;

use super::*;
use crate::data::matrix::square_sum;

struct Random(u64);

impl Random {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn below(&mut self, count: usize) -> usize {
        (self.next() * count as f64) as usize
    }
}

fn problem(rows: usize, cols: usize, models: usize, seed: u64) -> (Battles, Vec<f32>) {
    let mut random = Random(seed);
    let mut battles = Battles { total: rows + 3, ..Battles::default() };
    battles.labels = (0..models).map(|i| format!("model-{i}")).collect();
    let strengths: Vec<f64> = (0..models).map(|_| 4.0 * random.next()).collect();
    for row in 0..rows {
        let a = random.below(models);
        let b = (a + 1 + random.below(models - 1)) % models;
        let a_wins = 1.0 / (1.0 + (strengths[b] - strengths[a]).exp());
        battles.a.push(a as u32);
        battles.b.push(b as u32);
        let tie = random.next() < 0.2;
        battles.winners.push(if tie {
            Winner::Tie
        } else if random.next() < a_wins {
            Winner::A
        } else {
            Winner::B
        });
        battles.rows.push(row as u32 + 3);
    }
    let topic: Vec<f64> = (0..cols).map(|_| random.next() - 0.5).collect();
    let numbers = (0..rows * cols).map(|i| (topic[i % cols] * 0.6 + random.next() - 0.5) as f32).collect();
    (battles, numbers)
}

fn matrix(numbers: &[f32], cols: usize) -> Matrix {
    let mut own = Numbers::zeros(numbers.len()).unwrap();
    own.values_mut().copy_from_slice(numbers);
    let norms = numbers.chunks(cols).map(|row| square_sum(row).sqrt());
    Matrix { numbers: own, norms: norms.collect(), cols }
}

fn ranking(rows: usize, cols: usize, models: usize, num_tiers: usize, seed: u64) -> SwRanking {
    let (battles, numbers) = problem(rows, cols, models, seed);
    SwRanking::new(battles, matrix(&numbers, cols), num_tiers, None).unwrap()
}

fn queries(count: usize, cols: usize, seed: u64) -> Vec<f32> {
    let mut random = Random(seed);
    (0..count * cols).map(|_| (random.next() - 0.4) as f32).collect()
}

/// The regression as `RouteLLM` writes it down, row by row, by plain gradient descent with Newton's diagonal.
fn slow_ratings(ranking: &SwRanking, weights: &[f64]) -> Vec<f64> {
    let count = ranking.used_tiers().len();
    let place = |label: u32| ranking.used.binary_search(&ranking.tiers[label as usize]).unwrap();
    let total: f64 = weights.iter().sum();
    let mut x = vec![0.0; count];
    for _ in 0..60_000 {
        let (mut gradient, mut curve) = (vec![0.0; count], vec![1e-30; count]);
        for (row, &weight) in weights.iter().enumerate() {
            let battles = ranking.battles();
            let (a, b) = (place(battles.a[row]), place(battles.b[row]));
            let mut entries = vec![(a, 1.0), (b, -1.0)];
            if a == b {
                entries.remove(0);
            }
            let logit: f64 = entries.iter().map(|&(i, sign)| sign * x[i]).sum();
            let p = 1.0 / (1.0 + f64::exp(-logit));
            let target = match battles.winners[row] {
                Winner::A => 1.0,
                Winner::B => 0.0,
                Winner::Tie => 0.5,
            };
            for (i, sign) in entries {
                gradient[i] += weight / total * sign * (p - target);
                curve[i] += 2.0 * weight / total * p * (1.0 - p);
            }
        }
        for i in 0..count {
            x[i] -= gradient[i] / curve[i];
        }
        if gradient.iter().all(|g| g.abs() < 1e-12) {
            break;
        }
    }
    let tied = ranking.outcomes.iter().any(|&(a, b, _)| a == b);
    let mean = if tied { 0.0 } else { x.iter().sum::<f64>() / count as f64 };
    x.iter().map(|x| 400.0 / 10_f64.ln() * (x - mean) + 1000.0).collect()
}

#[test]
fn tier_ratings_are_those_of_the_plain_regression() {
    for (rows, cols, models, num_tiers, seed) in [(300, 20, 12, 4, 1), (500, 33, 9, 10, 2), (260, 7, 25, 6, 3)] {
        let ranking = ranking(rows, cols, models, num_tiers, seed);
        let asked = queries(2, cols, seed + 50);
        let asked = Rows::of_f32(&asked, cols);
        for row in 0..asked.len() {
            let weights = weightings(&ranking.similarities(&asked, row, 1).unwrap());
            let slow = slow_ratings(&ranking, &weights);
            let found = ranking.tier_ratings(&asked, row, 1).unwrap();
            assert!(found.iter().zip(&slow).all(|(a, b)| (a - b).abs() < 1e-5), "{found:?} {slow:?}");
            let again = ranking.tier_ratings_of_weights(&weights).unwrap();
            assert!(found.iter().zip(&again).all(|(a, b)| (a - b).abs() < 1e-8), "{found:?} {again:?}");
        }
    }
}

#[test]
fn a_batch_is_within_its_tolerance_of_single_queries() {
    for (rows, cols, count, seed) in
        [(5_000, 256, 70, 4), (21_003, 67, 9, 5), (2_100, 1536, 50, 6), (700, 1536, 5, 6), (400, 64, 5, 7)]
    {
        let ranking = ranking(rows, cols, 20, 10, seed);
        let asked = queries(count, cols, seed + 90);
        let asked = Rows::of_f32(&asked, cols);
        let tiers = (ranking.used_tiers()[0], *ranking.used_tiers().last().unwrap());
        let batch = ranking.win_rates(&asked, tiers, 2).unwrap();
        assert_eq!(batch, ranking.win_rates(&asked, tiers, 1).unwrap());
        for (row, found) in batch.iter().enumerate() {
            let single = ranking.win_rate(&asked, row, tiers, 2).unwrap();
            assert!((found - single).abs() < 1e-7, "{rows} x {cols}, query {row}: {found} {single}");
        }
    }
}

#[test]
fn queries_without_similar_battles_have_a_win_rate() {
    let mut ranking = ranking(9_000, 128, 15, 6, 8);
    // All battles lie in one half; the opposite query has negative similarities only, an orthogonal one hardly any.
    let mut query = vec![0.0_f32; 3 * 128];
    for row in 0..9_000 {
        let start = row * 128;
        ranking.numbers.values_mut()[start] = 3.0 + (row % 7) as f32;
        ranking.numbers.values_mut()[start + 1] = 0.0;
        ranking.numbers.values_mut()[start + 2] = if row == 5 { 1e-20 } else { -1.0 };
    }
    query[0] = -1.0;
    query[128 + 1] = 1.0;
    query[256 + 2] = 1.0;
    let asked = Rows::of_f32(&query, 128);
    let tiers = (0, 5);
    let batch = ranking.win_rates(&asked, tiers, 2).unwrap();
    for (row, rate) in batch.iter().enumerate() {
        assert!((0.0..=1.0).contains(rate), "{row}: {rate}");
        assert!((rate - ranking.win_rate(&asked, row, tiers, 1).unwrap()).abs() < 1e-7);
    }
    assert!(
        weightings(&[-0.1, -0.2]).iter().zip([100.0, 1000.0]).all(|(a, b): (&f64, f64)| (a / b - 1.0).abs() < 1e-12)
    );
}

#[test]
fn bad_queries_and_weights_are_errors() {
    let ranking = ranking(60, 4, 5, 3, 9);
    let asked = [1.0, 2.0, 3.0, 4.0, 0.0, 0.0, 0.0, 0.0, 1.0, f32::NAN, 0.0, 0.0, 1.0, 0.0, f32::INFINITY, 0.0];
    let rows = Rows::of_f32(&asked, 4);
    let message = |row: usize| ranking.win_rate(&rows, row, (0, 2), 1).unwrap_err().message().to_owned();
    assert!(ranking.win_rate(&rows, 0, (0, 2), 1).is_ok());
    assert!(message(1).starts_with("row 1 is all zeros"));
    assert!(message(2).starts_with("row 2 holds NaN (in column 1)"));
    assert!(message(3).starts_with("row 3 holds an infinity (in column 2)"));
    assert!(ranking.win_rates(&rows, (0, 2), 2).unwrap_err().message().starts_with("row 1 is all zeros"));
    assert!(ranking.win_rates(&Rows::of_f32(&asked, 2), (0, 2), 2).is_err());
    assert_eq!(ranking.win_rate(&rows, 0, (0, 9), 1).unwrap_err().kind(), Kind::Name);
    assert!(ranking.win_rates(&Rows::of_f32(&[], 4), (0, 2), 2).unwrap().is_empty());
    for weight in [f64::NAN, -1.0, f64::INFINITY] {
        let mut weights = vec![1.0; 60];
        weights[7] = weight;
        assert!(ranking.win_rate_of_weights(&weights, (0, 2)).unwrap_err().message().contains("battle 7"));
    }
    assert!(ranking.win_rate_of_weights(&[1.0], (0, 2)).is_err());
    let huge = ranking.win_rate_of_weights(&[f64::MAX; 60], (0, 2)).unwrap();
    assert!((huge - ranking.win_rate_of_weights(&[1.0; 60], (0, 2)).unwrap()).abs() < 1e-12);
    let tiny = ranking.win_rate_of_weights(&[5e-324; 60], (0, 2)).unwrap();
    assert!((huge - tiny).abs() < 1e-12);
    assert!(ranking.win_rate_of_weights(&[0.0; 60], (0, 2)).unwrap_err().message().contains("all battles are 0"));
}

#[test]
fn bad_problems_are_errors() {
    let (battles, numbers) = problem(50, 4, 5, 10);
    let build =
        |battles: &Battles, numbers: &[f32], tiers| SwRanking::new(battles.clone(), matrix(numbers, 4), tiers, None);
    let error = build(&battles, &numbers[4..], 3).unwrap_err();
    assert!(error.message().contains("found 49 embeddings for 50 battles (53 before"), "{error}");
    assert!(build(&battles, &numbers, 0).is_err());
    assert!(build(&Battles::default(), &[], 3).is_err());
    let mut zero = numbers.clone();
    zero[8..12].fill(0.0);
    assert!(build(&battles, &zero, 3).unwrap_err().message().starts_with("embedding 3 is all zeros"));
    let mut assigned: HashMap<String, u32> = battles.labels.iter().map(|label| (label.clone(), 7)).collect();
    assigned.insert("model-2".to_owned(), 3);
    let ranking = SwRanking::new(battles.clone(), matrix(&numbers, 4), 3, Some(&assigned)).unwrap();
    assert_eq!(ranking.used_tiers(), [3, 7]);
    assigned.remove("model-1");
    let error = SwRanking::new(battles, matrix(&numbers, 4), 3, Some(&assigned)).unwrap_err();
    assert_eq!((error.kind(), error.message()), (Kind::Name, "model2tier has no tier for the model 'model-1'"));
}

#[test]
fn an_index_is_what_was_saved() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.index");
    let first = ranking(3_000, 48, 20, 8, 11);
    first.save(&path, "whence").unwrap();
    let (second, sources) = SwRanking::open(&path).unwrap();
    assert_eq!(sources, "whence");
    assert_eq!(first.battles(), second.battles());
    assert_eq!(
        (first.ratings(), first.tiers(), first.num_tiers()),
        (second.ratings(), second.tiers(), second.num_tiers())
    );
    let asked = queries(6, 48, 12);
    let asked = Rows::of_f32(&asked, 48);
    assert_eq!(first.win_rates(&asked, (0, 7), 2).unwrap(), second.win_rates(&asked, (0, 7), 1).unwrap());
    // Saved over itself while it is mapped: the open one keeps the old file.
    second.save(&path, "again").unwrap();
    assert_eq!(first.embeddings(), second.embeddings());
    assert_eq!(SwRanking::open(&path).unwrap().1, "again");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn a_damaged_index_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.index");
    ranking(40, 6, 5, 3, 13).save(&path, "").unwrap();
    let whole = std::fs::read(&path).unwrap();
    for length in [0, 7, 23, 24, 100, 4095, 4096, 5000, whole.len() - 1] {
        std::fs::write(&path, &whole[..length]).unwrap();
        assert!(SwRanking::open(&path).is_err(), "{length}");
    }
    let header_end = 24 + u64::from_le_bytes(*whole[8..].first_chunk().unwrap()) as usize;
    let embeddings_end = 4096 + 40 * 6 * 4;
    // The last byte of an embedding's number holds most of its exponent.
    let exponents = (4096..embeddings_end).skip(3).step_by(4);
    for at in (0..header_end).chain(exponents).chain(embeddings_end..whole.len()) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x40;
        std::fs::write(&path, &bytes).unwrap();
        let error = SwRanking::open(&path).unwrap_err();
        assert_eq!(error.kind(), Kind::Checkpoint, "{at}: {error}");
    }
    assert_eq!(SwRanking::open(Path::new("/nowhere/index")).unwrap_err().kind(), Kind::Missing);
}
