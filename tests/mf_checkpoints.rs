//! Checkpoints that do not fit: each error names the tensor, what was expected and what was found.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;
use std::path::Path;

use ferroute::data::tensors::{Tensors, conversion_command, fuzz_safetensors, open, to_bytes};
use ferroute::routers::mf::{MfModel, Sizes};
use ferroute::{Error, Kind};
use half::{bf16, f16};
use proptest::prelude::*;

type Named<'a> = Vec<(&'a str, Vec<usize>, Vec<f32>)>;

/// 3 models of 2 numbers, embeddings of 4.
fn sound() -> Named<'static> {
    vec![
        ("P.weight", vec![3, 2], vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0]),
        ("classifier.0.weight", vec![1, 2], vec![0.5, -0.5]),
        ("text_proj.0.weight", vec![2, 4], vec![1.0; 8]),
    ]
}

fn bytes(tensors: &Named) -> Vec<u8> {
    let by_name: BTreeMap<_, _> =
        tensors.iter().map(|(n, shape, values)| (*n, (shape.clone(), values.as_slice()))).collect();
    to_bytes(&by_name).unwrap()
}

fn read(tensors: &Named, sizes: Sizes) -> Result<MfModel, Error> {
    MfModel::from_tensors(&Tensors::parse(&bytes(tensors), "file")?, sizes)
}

/// A file of one tensor with a header of one's own.
fn raw(header: &str, data: &[u8]) -> Vec<u8> {
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend(header.as_bytes());
    file.extend(data);
    file
}

#[track_caller]
fn fails(result: Result<MfModel, Error>, parts: &[&str]) {
    let error = result.unwrap_err();
    assert_eq!(error.kind(), Kind::Checkpoint, "{error}");
    for part in parts {
        assert!(error.message().contains(part), "{error} lacks {part}");
    }
}

#[test]
fn sizes_come_from_the_tensors_when_nobody_says_them() {
    let model = read(&sound(), Sizes::default()).unwrap();
    let found = (model.num_models(), model.dim(), model.text_dim(), model.num_classes());
    assert_eq!(found, (3, 2, 4, 1));
}

#[test]
fn each_tensor_is_checked_and_named() {
    let any = Sizes::default();
    for missing in 0..2 {
        let mut tensors = sound();
        let (name, _, _) = tensors.remove(missing);
        fails(read(&tensors, any), &["file", name, "missing", "found"]);
    }
    // A projection that is not there is never guessed away, as the original would not.
    let mut tensors = sound();
    tensors.remove(2);
    fails(read(&tensors, any), &["text_proj.0.weight", "missing", "pass use_proj=False"]);
    let any = Sizes { use_proj: Some(false), ..any };
    assert_eq!(read(&tensors, any).unwrap().text_dim(), 2);
    fails(read(&tensors, Sizes { use_proj: Some(true), ..any }), &["text_proj.0.weight", "missing"]);
    fails(read(&tensors, Sizes { text_dim: Some(4), ..any }), &["text_dim=4", "text_dim=2", "equal to dim"]);
    fails(read(&sound(), any), &["unexpected", "text_proj.0.weight", "use_proj=False"]);

    let any = Sizes::default();
    let mut tensors = sound();
    tensors.push(("Q.weight", vec![1], vec![1.0]));
    fails(read(&tensors, any), &["unexpected", "Q.weight"]);

    for (index, shape) in [(0, vec![6]), (1, vec![2, 1]), (2, vec![4, 2]), (2, vec![2, 2, 2])] {
        let mut tensors = sound();
        tensors[index].1 = shape.clone();
        fails(read(&tensors, any), &[tensors[index].0, &format!("{shape:?}"), "expected"]);
    }
    for index in 0..3 {
        for (bad, shown) in [(f32::NAN, "NaN"), (f32::INFINITY, "inf"), (f32::NEG_INFINITY, "-inf")] {
            let mut tensors = sound();
            let last = tensors[index].2.len() - 1;
            tensors[index].2[last] = bad;
            fails(read(&tensors, any), &[tensors[index].0, shown]);
        }
    }
    let mut tensors = sound();
    tensors[0] = ("P.weight", vec![0, 2], vec![]);
    fails(read(&tensors, any), &["P.weight", "[0, 2]"]);
}

#[test]
fn sizes_that_contradict_the_tensors_are_explained() {
    let any = Sizes::default();
    for (sizes, parts) in [
        (Sizes { dim: Some(128), ..any }, ["P.weight", "dim=128", "[3, 2]"]),
        (Sizes { num_models: Some(64), ..any }, ["P.weight", "num_models=64", "[3, 2]"]),
        (Sizes { text_dim: Some(1536), ..any }, ["text_proj.0.weight", "text_dim=1536", "[2, 4]"]),
        (Sizes { num_classes: Some(2), ..any }, ["classifier.0.weight", "num_classes=2", "[1, 2]"]),
    ] {
        fails(read(&sound(), sizes), &parts);
    }
}

#[test]
fn several_classes_give_logits_but_no_win_rate() {
    let mut tensors = sound();
    tensors[1] = ("classifier.0.weight", vec![2, 2], vec![1.0, 0.0, 0.0, 1.0]);
    let model = read(&tensors, Sizes::default()).unwrap();
    let embedding = [1.0_f32, 0.0, 0.0, 0.0];
    let rows = ferroute::math::rows::Rows::of_f32(&embedding, 4);
    let logits = model.logits(&rows, &[0]).unwrap();
    let norm = 5.0_f32.sqrt();
    assert!((logits[0] - 1.0 / norm).abs() < 1e-6 && (logits[1] - 2.0 / norm).abs() < 1e-6, "{logits:?}");
    let error = model.win_rate(&rows, 0, 0, 1).unwrap_err();
    assert!(error.message().contains("num_classes=2"), "{error}");
}

#[test]
fn a_row_of_zeros_has_logit_zero() {
    let mut tensors = sound();
    tensors[0].2 = vec![0.0, 0.0, 1.0, 0.0, 1e-20, 0.0];
    let model = read(&tensors, Sizes::default()).unwrap();
    let embedding = [1.0_f32; 4];
    let rows = ferroute::math::rows::Rows::of_f32(&embedding, 4);
    let logits = model.logits(&rows, &[0, 1, 2]).unwrap();
    // The floor of the norm is 1e-12, so the last row is 1e-8 of a unit vector.
    assert!(logits[0] == 0.0 && (logits[1] - 2.0).abs() < 1e-6 && (logits[2] / 2e-8 - 1.0).abs() < 1e-5, "{logits:?}");
}

#[test]
fn rows_outside_the_table_and_other_widths_are_errors() {
    let model = read(&sound(), Sizes::default()).unwrap();
    let embedding = [1.0_f32; 4];
    let rows = ferroute::math::rows::Rows::of_f32(&embedding, 4);
    for (strong, weak) in [(3, 0), (0, 3), (usize::MAX, 0)] {
        let error = model.win_rate(&rows, 0, strong, weak).unwrap_err();
        assert_eq!(error.kind(), Kind::Name);
        assert!(error.message().contains("rows 0 to 2"), "{error}");
    }
    let error = model.win_rates(&ferroute::math::rows::Rows::of_f32(&embedding, 2), &[(0, 1)], None).unwrap_err();
    assert!(error.message().contains("of 4 numbers") && error.message().contains("found 2"), "{error}");
}

#[test]
fn other_float_types_are_widened() {
    let values = [1.0_f32, -0.5, 2.0, 0.25];
    let data: [(&str, Vec<u8>); 4] = [
        ("F64", values.iter().flat_map(|&v| f64::from(v).to_le_bytes()).collect()),
        ("F32", values.iter().flat_map(|v| v.to_le_bytes()).collect()),
        ("F16", values.iter().flat_map(|&v| f16::from_f32(v).to_le_bytes()).collect()),
        ("BF16", values.iter().flat_map(|&v| bf16::from_f32(v).to_le_bytes()).collect()),
    ];
    for (kind, data) in &data {
        let header = format!(r#"{{"t":{{"dtype":"{kind}","shape":[2,2],"data_offsets":[0,{}]}}}}"#, data.len());
        let file = raw(&header, data);
        let tensor = Tensors::parse(&file, "file").unwrap().take("t", &[("a", None), ("b", Some(2))]).unwrap();
        assert_eq!(tensor.values, values, "{kind}");
    }
    let file = raw(r#"{"t":{"dtype":"I32","shape":[1],"data_offsets":[0,4]}}"#, &[0; 4]);
    let error = Tensors::parse(&file, "file").unwrap().take("t", &[("a", None)]).unwrap_err();
    assert!(error.message().contains("I32") && error.message().contains("`t`"), "{error}");
    // Finite in the file, not finite as f32.
    let file = raw(r#"{"t":{"dtype":"F64","shape":[1],"data_offsets":[0,8]}}"#, &1e300_f64.to_le_bytes());
    assert!(Tensors::parse(&file, "file").unwrap().take("t", &[("a", None)]).is_err());
}

#[test]
fn files_that_are_cut_or_absurd_are_errors() {
    let whole = bytes(&sound());
    for length in 0..whole.len() {
        let error = Tensors::parse(&whole[..length], "file").unwrap_err();
        assert_eq!(error.kind(), Kind::Checkpoint);
        assert!(error.message().starts_with("file "), "{error}");
    }
    for (header, data) in [
        (r#"{"t":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,0]}}"#, 0),
        (r#"{"t":{"dtype":"F32","shape":[1],"data_offsets":[0,400]}}"#, 4),
        (r#"{"t":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}}"#, 4),
        (r#"{"t":{"dtype":"F32","shape":[1],"data_offsets":[18446744073709551612,18446744073709551615]}}"#, 4),
        (
            r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#,
            4,
        ),
        (
            r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[1],"data_offsets":[2,6]}}"#,
            8,
        ),
        (r#"{"t":{"dtype":"F33","shape":[1],"data_offsets":[0,4]}}"#, 4),
        ("[]", 0),
        ("{", 0),
    ] {
        let file = raw(header, &vec![0; data]);
        assert!(Tensors::parse(&file, "file").is_err(), "{header}");
    }
    let huge = u64::MAX.to_le_bytes();
    assert!(Tensors::parse(&huge, "file").unwrap_err().message().contains("at most"));
}

#[test]
fn a_lone_torch_file_gets_the_command_that_converts_it() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(open(folder.path()).unwrap_err().kind(), Kind::Missing);
    assert_eq!(open(&folder.path().join("nothing")).unwrap_err().kind(), Kind::Missing);
    let torch = folder.path().join("pytorch_model.bin");
    std::fs::write(&torch, b"pickle").unwrap();
    for path in [folder.path(), torch.as_path()] {
        let error = open(path).unwrap_err();
        assert!(error.message().ends_with(&conversion_command(&torch)), "{error}");
    }
    let command = conversion_command(Path::new("it's here/pytorch_model.bin"));
    assert!(command.ends_with(r"'it'\''s here/pytorch_model.bin' 'it'\''s here/model.safetensors'"), "{command}");
}

#[test]
fn config_beside_the_weights_gives_the_sizes() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("model.safetensors"), bytes(&sound())).unwrap();
    let config = folder.path().join("config.json");
    let load = |sizes| MfModel::load(folder.path(), sizes);
    std::fs::write(&config, r#"{"dim": 2, "text_dim": 4, "added_later": []}"#).unwrap();
    assert!(load(Sizes::default()).is_ok());
    std::fs::write(&config, r#"{"dim": 2, "text_dim": 1536}"#).unwrap();
    fails(load(Sizes::default()), &["text_proj.0.weight", "text_dim=1536"]);
    assert!(load(Sizes { text_dim: Some(4), ..Sizes::default() }).is_ok(), "the caller knows better");
    for bad in ["", "[]", r#"{"dim": -1}"#, r#"{"dim": "2"}"#] {
        std::fs::write(&config, bad).unwrap();
        fails(load(Sizes::default()), &["config.json", "expected an object"]);
    }
}

proptest! {
    #[test]
    fn any_bytes_give_tensors_or_an_error(data in proptest::collection::vec(any::<u8>(), 0..200)) {
        fuzz_safetensors(&data);
    }

    #[test]
    fn any_change_of_a_sound_file_gives_tensors_or_an_error(place in 0_usize..400, value: u8) {
        let mut file = bytes(&sound());
        let place = place % file.len();
        file[place] = value;
        fuzz_safetensors(&file);
    }
}
