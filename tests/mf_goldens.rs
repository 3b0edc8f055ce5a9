//! Win rates and logits of the original, and the exact ones, on its own checkpoints.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::path::{Path, PathBuf};

use ferroute::math::rows::Rows;
use ferroute::routers::mf::{MfModel, Sizes};
use serde_json::Value;

fn folder(variant: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/mf").join(variant)
}

/// Numbers of a C-ordered little-endian `.npy` file, as f64.
fn npy(path: &Path) -> Vec<f64> {
    let bytes = std::fs::read(path).unwrap();
    assert_eq!(&bytes[..8], b"\x93NUMPY\x01\x00");
    let start = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    let header = std::str::from_utf8(&bytes[10..start]).unwrap();
    assert!(header.contains("'fortran_order': False"), "{header}");
    let data = &bytes[start..];
    if header.contains("<f4") {
        data.as_chunks().0.iter().map(|&bytes| f64::from(f32::from_le_bytes(bytes))).collect()
    } else {
        assert!(header.contains("<f8"), "{header}");
        data.as_chunks().0.iter().map(|&bytes| f64::from_le_bytes(bytes)).collect()
    }
}

fn pairs(variant: &str) -> Vec<(usize, usize)> {
    let text = std::fs::read_to_string(folder(variant).join("pairs.json")).unwrap();
    let json: Value = serde_json::from_str(&text).unwrap();
    let row = |pair: &Value, key: &str| usize::try_from(pair[key].as_u64().unwrap()).unwrap();
    json["pairs"].as_array().unwrap().iter().map(|pair| (row(pair, "strong_id"), row(pair, "weak_id"))).collect()
}

fn furthest(found: impl IntoIterator<Item = f64>, expected: &[f64]) -> f64 {
    let found: Vec<f64> = found.into_iter().collect();
    assert_eq!(found.len(), expected.len());
    found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
}

#[test]
fn win_rates_and_logits_are_the_originals() {
    for variant in ["main", "small", "noproj"] {
        let here = folder(variant);
        let model = MfModel::load(&here.join("checkpoint"), Sizes::default()).unwrap();
        let embeddings: Vec<f32> = npy(&here.join("embeddings.npy")).into_iter().map(|value| value as f32).collect();
        let rows = Rows::of_f32(&embeddings, model.text_dim());
        let pairs = pairs(variant);

        let rates = model.win_rates(&rows, &pairs, None).unwrap();
        let mut logits = Vec::new();
        for &(strong, weak) in &pairs {
            for embedding in embeddings.chunks(model.text_dim()) {
                let one = Rows::of_f32(embedding, model.text_dim());
                logits.extend(model.logits(&one, &[strong, weak]).unwrap().into_iter().map(f64::from));
            }
        }

        let exact = npy(&here.join("win_rates_exact_f64.npy"));
        assert!(furthest(rates.iter().copied(), &exact) < 5e-7, "{variant}");
        assert!(furthest(logits.iter().copied(), &npy(&here.join("logits_exact_f64.npy"))) < 2e-6, "{variant}");
        if variant != "noproj" {
            // The original cannot run without a projection.
            assert!(furthest(rates.iter().copied(), &npy(&here.join("win_rates.npy"))) < 5e-6, "{variant}");
            assert!(furthest(logits, &npy(&here.join("logits.npy"))) < 2e-5, "{variant}");
        }
        for (index, &(strong, weak)) in pairs.iter().enumerate() {
            for row in 0..rows.len() {
                let one = model.win_rate(&rows, row, strong, weak).unwrap();
                assert_eq!(one.to_bits(), rates[index * rows.len() + row].to_bits(), "batch equals single");
            }
        }
    }
}

#[test]
fn a_reversed_pair_has_the_complementary_rate() {
    let model = MfModel::load(&folder("small").join("checkpoint"), Sizes::default()).unwrap();
    let embeddings = npy(&folder("small").join("embeddings.npy"));
    let rates = model.win_rates(&Rows::of_f64(&embeddings, 384), &[(1, 6), (6, 1), (3, 3)], None).unwrap();
    let (there, rest) = rates.split_at(rates.len() / 3);
    let (back, same) = rest.split_at(rest.len() / 2);
    for ((a, b), c) in there.iter().zip(back).zip(same) {
        assert!((a + b - 1.0).abs() < 1e-15);
        assert_eq!(c.to_bits(), 0.5_f64.to_bits());
    }
}

#[test]
fn saving_gives_the_bytes_the_original_wrote() {
    for variant in ["main", "small", "noproj"] {
        let source = folder(variant).join("checkpoint");
        let target = tempfile::tempdir().unwrap();
        MfModel::load(&source, Sizes::default()).unwrap().save(target.path(), None).unwrap();
        for file in ["model.safetensors", "config.json"] {
            let (ours, theirs) = (std::fs::read(target.path().join(file)), std::fs::read(source.join(file)));
            assert_eq!(ours.unwrap(), theirs.unwrap(), "{variant} {file}");
        }
        assert_eq!(std::fs::read_dir(target.path()).unwrap().count(), 2, "nothing is left behind");
    }
}

/// Where the goldens these were copied from are at hand, the copies are compared with them.
#[test]
fn copies_are_unchanged() {
    let shared = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/goldens/mf");
    if !shared.is_dir() {
        return;
    }
    let mut compared = 0;
    for variant in ["main", "small", "noproj", "main/checkpoint", "small/checkpoint", "noproj/checkpoint"] {
        for entry in std::fs::read_dir(shared.join(variant)).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() {
                let copy = folder(variant).join(path.file_name().unwrap());
                assert_eq!(std::fs::read(&path).unwrap(), std::fs::read(copy).unwrap(), "{}", path.display());
                compared += 1;
            }
        }
    }
    assert!(compared > 0);
}
