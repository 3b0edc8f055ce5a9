use std::sync::Arc;

use ::parquet::data_type::{ByteArrayType, DoubleType, FloatType};
use ::parquet::file::properties::WriterProperties;
use ::parquet::file::writer::SerializedFileWriter;
use ::parquet::schema::parser::parse_message_type;
use arrow_array::types::Float64Type;
use arrow_array::{ArrayRef, FixedSizeListArray, ListArray, RecordBatch};
use arrow_ipc::writer::{FileWriter, StreamWriter};
use arrow_schema::{Field, Schema};

use super::*;

fn numbers(rows: usize, cols: usize) -> Vec<f32> {
    (0..rows * cols).map(|i| ((i * 7919) % 1013) as f32 / 64.0 - 8.0).collect()
}

fn npy(header: &str, body: &[u8]) -> Vec<u8> {
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend(body);
    bytes
}

fn header(descr: &str, fortran: &str, rows: usize, cols: usize) -> String {
    format!("{{'descr': '{descr}', 'fortran_order': {fortran}, 'shape': ({rows}, {cols}), }}     \n")
}

fn write_parquet(path: &Path, rows: usize, cols: usize, group: usize, double: bool, leave_out: Option<usize>) {
    let kind = if double { "DOUBLE" } else { "FLOAT" };
    let schema = format!(
        "message schema {{ OPTIONAL BYTE_ARRAY prompt (UTF8); OPTIONAL group embeddings (LIST) {{ REPEATED group list \
         {{ OPTIONAL {kind} element; }} }} }}"
    );
    let schema = Arc::new(parse_message_type(&schema).unwrap());
    let properties =
        Arc::new(WriterProperties::builder().set_data_page_row_count_limit(20).set_write_batch_size(16).build());
    let mut writer = SerializedFileWriter::new(File::create(path).unwrap(), schema, properties).unwrap();
    for (index, part) in numbers(rows, cols).chunks(group * cols).enumerate() {
        let count = part.len() / cols;
        let mut row_group = writer.next_row_group().unwrap();
        let mut column = row_group.next_column().unwrap().unwrap();
        let def = vec![0; count];
        column.typed::<ByteArrayType>().write_batch(&[], Some(&def), None).unwrap();
        column.close().unwrap();
        let mut column = row_group.next_column().unwrap().unwrap();
        let mut def = vec![3_i16; part.len()];
        let mut part = part.to_vec();
        if let Some(at) = leave_out.filter(|at| at / (group * cols) == index) {
            def[at % (group * cols)] = 2;
            part.remove(at % (group * cols));
        }
        let rep: Vec<i16> = (0..count * cols).map(|i| i16::from(i % cols > 0)).collect();
        if double {
            let wide: Vec<f64> = part.iter().map(|&x| f64::from(x)).collect();
            column.typed::<DoubleType>().write_batch(&wide, Some(&def), Some(&rep)).unwrap();
        } else {
            column.typed::<FloatType>().write_batch(&part, Some(&def), Some(&rep)).unwrap();
        }
        column.close().unwrap();
        row_group.close().unwrap();
    }
    writer.finish().unwrap();
}

fn lists(rows: usize, cols: usize) -> Vec<(&'static str, ArrayRef)> {
    let all = numbers(rows, cols);
    let rows: Vec<_> =
        all.chunks(cols).map(|row| Some(row.iter().map(|&x| Some(f64::from(x))).collect::<Vec<_>>())).collect();
    let list = ListArray::from_iter_primitive::<Float64Type, _, _>(rows.clone());
    let fixed = FixedSizeListArray::from_iter_primitive::<Float64Type, _, _>(rows, cols as i32);
    vec![("list", Arc::new(list)), ("fixed", Arc::new(fixed))]
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

fn one(path: &Path) -> Result<Matrix> {
    read(&[path.to_path_buf()], None, 2)
}

#[test]
fn every_format_gives_the_same_rows() {
    let folder = folder();
    let place = |name: &str| folder.path().join(name);
    for (rows, cols) in [(1, 1), (5, 3), (130, 17), (3000, 70)] {
        let expected = numbers(rows, cols);
        let mut paths = Vec::new();
        let mut put = |name: &str, bytes: Vec<u8>| {
            std::fs::write(place(name), bytes).unwrap();
            paths.push(place(name));
        };
        let by_column: Vec<f32> = (0..rows * cols).map(|i| expected[i % rows * cols + i / rows]).collect();
        let le = |numbers: &[f32]| numbers.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>();
        put("c4.npy", npy(&header("<f4", "False", rows, cols), &le(&expected)));
        put("f4.npy", npy(&header("<f4", "True", rows, cols), &le(&by_column)));
        let wide: Vec<u8> = expected.iter().flat_map(|&x| f64::from(x).to_le_bytes()).collect();
        put("c8.npy", npy(&header("<f8", "False", rows, cols), &wide));
        let big: Vec<u8> = expected.iter().flat_map(|&x| x.to_be_bytes()).collect();
        put("b4.npy", npy(&header(">f4", "False", rows, cols), &big));
        let lines: Vec<String> = expected
            .chunks(cols)
            .map(|row| serde_json::json!({"prompt": "x", "embeddings": row}).to_string())
            .collect();
        put("a.jsonl", lines.join("\n").into_bytes());
        for (name, array) in lists(rows, cols) {
            let field = Field::new("embeddings", array.data_type().clone(), true);
            let schema = Arc::new(Schema::new(vec![field]));
            let batch = RecordBatch::try_new(Arc::clone(&schema), vec![array]).unwrap();
            let mut stream = StreamWriter::try_new(Vec::new(), &schema).unwrap();
            let mut file = FileWriter::try_new(Vec::new(), &schema).unwrap();
            for part in [batch.slice(0, rows / 2), batch.slice(rows / 2, rows - rows / 2)] {
                stream.write(&part).unwrap();
                file.write(&part).unwrap();
            }
            put(&format!("{name}.arrow"), stream.into_inner().unwrap());
            put(&format!("{name}.feather"), file.into_inner().unwrap());
        }
        for (name, group, double) in [("a.parquet", 64, true), ("b.parquet", 10_000, false)] {
            write_parquet(&place(name), rows, cols, group, double, None);
            paths.push(place(name));
        }
        for path in &paths {
            let found = one(path).unwrap();
            assert_eq!((found.cols, found.norms.len()), (cols, rows), "{}", path.display());
            assert_eq!(found.numbers.values(), expected, "{}", path.display());
            let norm = |row: &[f32]| row.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>().sqrt();
            let norms = expected.chunks(cols).map(norm);
            assert!(found.norms.iter().zip(norms).all(|(a, b)| (a - b).abs() <= 1e-12 * b), "{}", path.display());
        }
        let all = read(&paths, None, 3).unwrap();
        assert_eq!(all.numbers.values(), expected.repeat(paths.len()));
    }
}

#[test]
fn half_precision_is_read() {
    let folder = folder();
    let path = folder.path().join("a.npy");
    let body: Vec<u8> = [1.5_f32, -2.0, 0.25, 8.0].iter().flat_map(|&x| half::f16::from_f32(x).to_le_bytes()).collect();
    std::fs::write(&path, npy(&header("<f2", "False", 2, 2), &body)).unwrap();
    assert_eq!(one(&path).unwrap().numbers.values(), [1.5, -2.0, 0.25, 8.0]);
}

#[test]
fn bad_rows_are_named() {
    let folder = folder();
    let path = folder.path().join("a.parquet");
    write_parquet(&path, 300, 5, 64, true, Some(5 * 130 + 2));
    let error = one(&path).unwrap_err();
    assert!(error.message().contains("a.parquet: row 131: expected a list of 5 numbers"), "{error}");
    let path = folder.path().join("a.npy");
    let mut body: Vec<u8> = numbers(9, 4).iter().flat_map(|x| x.to_le_bytes()).collect();
    body[4 * 21..4 * 22].copy_from_slice(&f32::NAN.to_le_bytes());
    std::fs::write(&path, npy(&header("<f4", "False", 9, 4), &body)).unwrap();
    assert!(one(&path).unwrap_err().message().contains("row 6 holds NaN (in place 1)"));
    let path = folder.path().join("a.jsonl");
    std::fs::write(&path, "{\"embeddings\": [1, 2]}\n\n{\"embeddings\": [1, \"x\"]}\n").unwrap();
    assert!(one(&path).unwrap_err().message().contains("a.jsonl: line 3: found \"x\""));
    std::fs::write(&path, "{\"embeddings\": [1, 2]}\n{\"embeddings\": [1]}\n").unwrap();
    assert!(one(&path).unwrap_err().message().contains("line 2: expected 2 numbers, found 1"));
}

#[test]
fn the_only_list_of_numbers_is_found_in_lines() {
    let folder = folder();
    let path = folder.path().join("a.jsonl");
    let read = |text: &str| {
        std::fs::write(&path, text).unwrap();
        one(&path).map(|found| found.numbers.values().to_vec())
    };
    assert_eq!(read("{\"t\": [\"x\"], \"n\": 1, \"vector\": [1, 2.5]}").unwrap(), [1.0, 2.5]);
    assert_eq!(read("{\"other\": [1], \"embedding\": [3]}").unwrap(), [3.0]);
    assert!(read("{\"a\": [1], \"b\": [2]}").unwrap_err().message().contains("line 1: expected an object with"));
    assert!(read("{\"a\": 1}").is_err());
}

#[test]
fn hostile_headers_are_errors() {
    let folder = folder();
    let path = folder.path().join("a.npy");
    let huge = usize::MAX / 2;
    for bytes in [
        b"".to_vec(),
        b"\x93NUMPY\x01".to_vec(),
        b"\x93NUMPY\x02\x00\xff\xff\xff\xff".to_vec(),
        b"\x93NUMPY\x09\x00\x00\x00".to_vec(),
        npy(&header("<f4", "False", huge, huge), &[]),
        npy(&header("<f4", "False", 1 << 63, 1 << 63), &[0; 64]),
        npy(&header("<f8", "True", usize::MAX, usize::MAX), &[]),
        npy(&header("<f4", "False", 1 << 61, 8), &[]),
        npy(&header("<f4", "False", 3, 3), &[0; 35]),
        npy(&header("<i4", "False", 1, 1), &[0; 4]),
        npy(&header("|O", "False", 1, 1), &[0; 400]),
        npy(&header("<f4", "Maybe", 1, 1), &[0; 4]),
        npy("{'descr': '<f4', 'fortran_order': False, 'shape': (4,), }", &[0; 16]),
        npy("{'descr': '<f4', 'fortran_order': False, 'shape': (-1, 4), }", &[0; 16]),
        npy("{'descr': [('x', '<f4')], 'fortran_order': False, 'shape': (1, 1), }", &[0; 16]),
        npy("{'descr': '', 'fortran_order': False, 'shape': (1, 1), }", &[0; 16]),
        npy("\u{e9}{'descr'", &[]),
        npy(&header("<f4", "False", 2, 0), &[]),
    ] {
        std::fs::write(&path, &bytes).unwrap();
        let error = one(&path).unwrap_err();
        assert!(error.message().contains("a.npy"), "{error}");
    }
    for name in ["a.parquet", "a.arrow", "a.txt"] {
        let path = folder.path().join(name);
        for bytes in [&b""[..], b"PAR1\x04\0\0\0PAR1", b"ARROW1\0\0", b"\xff\xff\xff\xff\xff\xff\xff\x7f"] {
            std::fs::write(&path, bytes).unwrap();
            assert!(one(&path).is_err(), "{name}");
        }
    }
    assert_eq!(one(Path::new("/nowhere/a.npy")).unwrap_err().kind(), Kind::Missing);
}

#[test]
fn a_damaged_file_never_panics() {
    let folder = folder();
    let parquet_path = folder.path().join("a.parquet");
    write_parquet(&parquet_path, 40, 6, 16, true, None);
    let field = Field::new("embeddings", lists(40, 6)[0].1.data_type().clone(), true);
    let schema = Arc::new(Schema::new(vec![field]));
    let batch = RecordBatch::try_new(Arc::clone(&schema), vec![Arc::clone(&lists(40, 6)[0].1)]).unwrap();
    let mut stream = StreamWriter::try_new(Vec::new(), &schema).unwrap();
    stream.write(&batch).unwrap();
    let arrow_path = folder.path().join("a.arrow");
    std::fs::write(&arrow_path, stream.into_inner().unwrap()).unwrap();
    for path in [parquet_path, arrow_path] {
        let whole = std::fs::read(&path).unwrap();
        let mut state = 1_u32;
        for round in 0..400 {
            let mut bytes = whole.clone();
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            if round % 4 == 0 {
                bytes.truncate(state as usize % bytes.len());
            } else {
                let at = (state >> 8) as usize % bytes.len();
                bytes[at] ^= 1 << (state % 8);
            }
            std::fs::write(&path, &bytes).unwrap();
            if let Ok(found) = one(&path) {
                assert_eq!(found.numbers.values().len(), found.cols * found.norms.len());
            }
        }
    }
}

#[test]
fn a_file_cannot_claim_more_than_it_could_hold() {
    let folder = folder();
    let path = folder.path().join("a.npy");
    // A sparse file: its size is a claim as well, and no room is made beyond it.
    std::fs::write(&path, npy(&header("<f4", "False", 1 << 40, 1 << 10), &[0; 64])).unwrap();
    assert!(one(&path).unwrap_err().message().contains("numbers, which take"));
    assert_eq!(most_numbers(0), 1 << 24);
    assert_eq!(most_numbers(u64::MAX), usize::MAX);
}

#[test]
fn files_of_different_widths_do_not_mix() {
    let folder = folder();
    let (a, b) = (folder.path().join("a.npy"), folder.path().join("b.npy"));
    std::fs::write(&a, npy(&header("<f4", "False", 2, 3), &[0; 24])).unwrap();
    std::fs::write(&b, npy(&header("<f4", "False", 3, 2), &[0; 24])).unwrap();
    let error = read(&[a, b], None, 1).unwrap_err();
    assert!(error.message().contains("b.npy: has rows of 2 numbers") && error.message().contains("have 3"), "{error}");
    assert_eq!(read(&[], None, 1).unwrap().norms.len(), 0);
}
