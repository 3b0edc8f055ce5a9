//! Checkpoints in a map: one file or several, whole or broken.
#![allow(clippy::expect_used, reason = "a test may panic")]

use std::fs;
use std::path::Path;

use ferroute::Kind;
use ferroute::neural::linear::Stored;
use ferroute::neural::weights::{INDEX, Mapped};
use half::{bf16, f16};
use safetensors::tensor::{Dtype, TensorView, serialize};

fn file(path: &Path, tensors: &[(&str, Dtype, &[usize], Vec<u8>)]) {
    let views = tensors.iter().map(|(name, dtype, shape, bytes)| {
        let view = TensorView::new(*dtype, shape.to_vec(), bytes).expect("bytes and shape agree");
        ((*name).to_owned(), view)
    });
    fs::write(path, serialize(views, None).expect("serializable")).expect("writable");
}

fn f32s(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

fn bf16s(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|&v| bf16::from_f32(v).to_le_bytes()).collect()
}

const NUMBERS: [f32; 6] = [0.5, -1.0, 2.0, 0.25, 3.0, -4.0];
const ANY: [(&str, Option<usize>); 2] = [("rows", None), ("cols", Some(3))];

#[test]
fn every_floating_type_is_read_and_bf16_stays() {
    let folder = tempfile::tempdir().expect("a folder");
    let half = NUMBERS.iter().flat_map(|&v| f16::from_f32(v).to_le_bytes()).collect();
    let double = NUMBERS.iter().flat_map(|&v| f64::from(v).to_le_bytes()).collect();
    let tensors = [
        ("b", Dtype::BF16, &[2, 3][..], bf16s(&NUMBERS)),
        ("d", Dtype::F64, &[2, 3], double),
        ("h", Dtype::F16, &[2, 3], half),
        ("i", Dtype::I32, &[2, 3], vec![0; 24]),
        ("s", Dtype::F32, &[2, 3], f32s(&NUMBERS)),
    ];
    file(&folder.path().join("model.safetensors"), &tensors);
    let mapped = Mapped::open(folder.path()).expect("a checkpoint");
    assert_eq!(mapped.names().collect::<Vec<_>>(), ["b", "d", "h", "i", "s"]);
    for name in ["b", "d", "h", "s"] {
        let view = mapped.tensor(name, &ANY).expect("it fits");
        assert_eq!(view.to_f32().expect("finite"), NUMBERS, "{name}");
        let table = view.table().expect("a matrix");
        let mut row = [0.0; 3];
        table.read(1, &mut row).expect("the row is there");
        assert_eq!(row, NUMBERS[3..], "{name}");
        assert_eq!(table.read(2, &mut row).expect_err("two rows").kind(), Kind::Value);
        let weights = view.weights().expect("finite");
        match weights.stored() {
            Stored::Bf16(bytes) => assert_eq!((name, bytes), ("b", &bf16s(&NUMBERS)[..])),
            Stored::F32(bytes) => assert_eq!(bytes, f32s(&NUMBERS), "{name}"),
        }
        mapped.release(&view);
        assert_eq!(view.to_f32().expect("still there"), NUMBERS, "{name}");
    }
    let wrong = mapped.tensor("i", &ANY).expect_err("whole numbers").to_string();
    assert!(wrong.contains("`i` holds I32"), "{wrong}");
    let wrong = mapped.tensor("s", &[("n", Some(6))]).expect_err("a matrix").to_string();
    assert!(wrong.contains("shape [2, 3], expected [n=6]"), "{wrong}");
    let wrong = mapped.tensor("t", &ANY).expect_err("not there").to_string();
    assert!(wrong.contains("`t` of shape [rows, cols=3] is missing; found `b` [2, 3]"), "{wrong}");
}

#[test]
fn numbers_that_are_none_are_found_with_their_place() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("model.safetensors");
    for (bad, shown) in [(f32::NAN, "[1, 2]"), (f32::NEG_INFINITY, "[1, 2]")] {
        let mut numbers = NUMBERS;
        numbers[5] = bad;
        for (dtype, bytes) in [(Dtype::F32, f32s(&numbers)), (Dtype::BF16, bf16s(&numbers))] {
            file(&path, &[("x", dtype, &[2, 3], bytes)]);
            let mapped = Mapped::open(&path).expect("the header is fine");
            let view = mapped.tensor("x", &ANY).expect("it fits");
            let wrong = view.weights().expect_err("not finite").to_string();
            assert!(wrong.contains("`x`") && wrong.contains(shown), "{wrong}");
            assert!(view.to_f32().is_err());
            let (table, mut row) = (view.table().expect("a matrix"), [0.0; 3]);
            table.read(0, &mut row).expect("this row is fine");
            assert_eq!(table.read(1, &mut row).expect_err("this is not").kind(), Kind::Checkpoint);
        }
    }
}

#[test]
fn a_table_outlives_the_map_and_its_rows_are_missed_when_the_file_is_cut() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("model.safetensors");
    file(&path, &[("x", Dtype::F32, &[2, 3], f32s(&NUMBERS))]);
    let mapped = Mapped::open(&path).expect("a checkpoint");
    let table = mapped.tensor("x", &ANY).expect("it fits").table().expect("a matrix");
    drop(mapped);
    let mut row = [0.0; 3];
    table.read(1, &mut row).expect("the row is there");
    assert_eq!(row, NUMBERS[3..]);
    let length = fs::metadata(&path).expect("a file").len();
    fs::File::options().write(true).open(&path).and_then(|f| f.set_len(length - 4)).expect("cut");
    table.read(0, &mut row).expect("this row is whole");
    assert_eq!(table.read(1, &mut row).expect_err("this is not").kind(), Kind::Io);
}

#[cfg(unix)]
#[test]
fn a_table_is_of_the_file_that_was_checked() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("model.safetensors");
    file(&path, &[("x", Dtype::F32, &[2, 3], f32s(&NUMBERS))]);
    let mapped = Mapped::open(&path).expect("a checkpoint");
    fs::remove_file(&path).expect("removable");
    fs::write(&path, "another file").expect("writable");
    let (table, mut row) = (mapped.tensor("x", &ANY).expect("it fits").table().expect("a matrix"), [0.0; 3]);
    table.read(1, &mut row).expect("the row is there");
    assert_eq!(row, NUMBERS[3..]);
}

#[test]
fn several_files_are_one_checkpoint() {
    let folder = tempfile::tempdir().expect("a folder");
    file(&folder.path().join("a.safetensors"), &[("x", Dtype::F32, &[2, 3], f32s(&NUMBERS))]);
    file(&folder.path().join("b.safetensors"), &[("y", Dtype::BF16, &[2, 3], bf16s(&NUMBERS))]);
    let index = |text: &str| fs::write(folder.path().join(INDEX), text).expect("writable");
    let failure = || Mapped::open(folder.path()).expect_err("broken");
    index(r#"{"metadata": {}, "weight_map": {"x": "a.safetensors", "y": "b.safetensors"}}"#);
    let mapped = Mapped::open(folder.path()).expect("a checkpoint");
    for name in ["x", "y"] {
        assert_eq!(mapped.tensor(name, &ANY).expect("it fits").to_f32().expect("finite"), NUMBERS);
    }
    index(r#"{"weight_map": {"x": "c.safetensors"}}"#);
    assert_eq!(failure().kind(), Kind::Missing);
    index(r#"{"weight_map": {"y": "a.safetensors"}}"#);
    assert!(failure().to_string().contains("a.safetensors holds `y`; it does not"));
    for outside in ["../a.safetensors", "/etc/passwd", "", "..", "sub/a.safetensors"] {
        index(&format!(r#"{{"weight_map": {{"x": "{outside}"}}}}"#));
        assert!(failure().to_string().contains("its own folder"), "{outside}");
    }
    for text in ["", "[]", "{}", r#"{"weight_map": {"x": 1}}"#] {
        index(text);
        assert_eq!(failure().kind(), Kind::Checkpoint, "{text}");
    }
}

#[test]
fn broken_files_are_errors() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("model.safetensors");
    assert_eq!(Mapped::open(folder.path()).expect_err("an empty folder").kind(), Kind::Missing);
    for bytes in [&b""[..], b"1234567", &[0xFF; 64], &[0; 8]] {
        fs::write(&path, bytes).expect("writable");
        assert_eq!(Mapped::open(&path).expect_err("no header").kind(), Kind::Checkpoint, "{bytes:?}");
    }
    file(&path, &[("x", Dtype::F32, &[2, 3], f32s(&NUMBERS))]);
    let whole = fs::read(&path).expect("readable");
    fs::write(&path, &whole[..whole.len() - 1]).expect("writable");
    assert_eq!(Mapped::open(&path).expect_err("cut").kind(), Kind::Checkpoint);
}
