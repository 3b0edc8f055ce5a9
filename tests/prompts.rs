//! The readers of prompts, format by format, on files as people have them.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use std::fs;
use std::io::{self, Cursor, Read};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ferroute::data::prompts::{Format, MAX_ROW_BYTES, Options, Prompts};
use ferroute::{Error, Kind, Result};
use parquet::basic::{Compression, GzipLevel, ZstdLevel};
use parquet::column::writer::ColumnWriter;
use parquet::data_type::ByteArray;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use proptest::prelude::*;

fn read(format: Format, bytes: &[u8], options: &Options) -> Result<Vec<(u64, String)>> {
    let input = Box::new(Cursor::new(bytes.to_vec()));
    let prompts = Prompts::from_read("input".to_owned(), input, format, options)?;
    prompts.map(|prompt| prompt.map(|prompt| (prompt.row, prompt.text))).collect()
}

fn all(format: Format, bytes: &[u8]) -> Vec<(u64, String)> {
    read(format, bytes, &Options::default()).unwrap()
}

fn rows(expected: &[(u64, &str)]) -> Vec<(u64, String)> {
    expected.iter().map(|&(row, text)| (row, text.to_owned())).collect()
}

fn column(name: &str) -> Options {
    Options { column: Some(name.to_owned()), ..Options::default() }
}

#[track_caller]
fn assert_error(error: &Error, expected: &str) {
    assert!(error.message().contains(expected), "expected `{expected}` in `{}`", error.message());
}

#[test]
fn text_is_one_prompt_a_line_without_its_end() {
    let bytes = "\u{feff}first\r\n\n  indented \n\t\r\nlast, no line end ü".as_bytes();
    assert_eq!(all(Format::Text, bytes), rows(&[(1, "first"), (3, "  indented "), (5, "last, no line end ü")]));
    for empty in ["", "\n\r\n\n", "\u{feff}"] {
        assert_eq!(all(Format::Text, empty.as_bytes()), []);
    }
    assert_error(&read(Format::Text, b"a", &column("prompt")).unwrap_err(), "plain text has no columns");
}

#[test]
fn bad_utf8_is_named_by_line_and_byte() {
    let error = read(Format::Text, b"fine\nab\xffc\n", &Options::default()).unwrap_err();
    assert_eq!(error.message(), "input, line 2: byte 3 of the line (0xff) is not UTF-8");
    let error = read(Format::Csv, b"id,prompt\n1,fine\n2,\"a\nb\xe2\x82\"\n", &Options::default()).unwrap_err();
    assert_eq!(error.message(), "input, row 2 (line 3): byte 4 of the field (0xe2) is not UTF-8");
    // A column that is not asked for may hold anything.
    assert_eq!(all(Format::Csv, b"prompt,other\nfine,\xff\n"), rows(&[(1, "fine")]));
    for (mark, format) in
        [(b"\xff\xfea\0", Format::Text), (b"\xfe\xff\0a", Format::Csv), (b"\xff\xfe{\0", Format::Jsonl)]
    {
        assert_error(&read(format, mark, &Options::default()).unwrap_err(), "is UTF-16, expected UTF-8");
    }
}

#[test]
fn jsonl_takes_strings_fields_and_conversations() {
    let lines = [
        r#""a \"string\" \u00fc""#,
        r#"{"id": 1, "prompt": "field\nwith a line break"}"#,
        r#"{"messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "last"}]}"#,
        r#"{"messages": [{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "image_url"}, {"type": "text", "text": "b"}]}]}"#,
        r#"{"messages": [{"role": "user", "content": null}]}"#,
        r#"{"prompt": null, "question": "q"}"#,
        r#"{"text": "t", "extra": [1, 2]}"#,
        r#"{"text": "loses", "prompt": "wins"}"#,
        r#"{"prompt": ""}"#,
    ];
    let texts = ["a \"string\" ü", "field\nwith a line break", "last", "a\nb", "", "q", "t", "wins", ""];
    let expected: Vec<_> = (1..).zip(texts.map(str::to_owned)).collect();
    for end in ["\n", "\r\n", "\n\n"] {
        let texts: Vec<_> = all(Format::Jsonl, lines.join(end).as_bytes()).into_iter().map(|(_, text)| text).collect();
        assert_eq!(texts, expected.iter().map(|(_, text)| text.clone()).collect::<Vec<_>>());
    }
    assert_eq!(all(Format::Jsonl, lines.join("\n").as_bytes()), expected);
    let named = read(Format::Jsonl, br#"{"prompt": "no", "input": "yes"}"#, &column("input")).unwrap();
    assert_eq!(named, rows(&[(1, "yes")]));
}

#[test]
fn jsonl_errors_say_what_was_expected_and_found() {
    for (line, expected) in [
        ("{\"prompt\": ", "line 1: is not JSON: EOF while parsing a value at column 11"),
        ("[\"a\"]", "line 1: expected a JSON string or object, found a list"),
        ("7", "found a number"),
        ("{}", "expected one of the fields `prompt`, `messages`, `question` and `text`, found none"),
        ("{\"turns\": [\"a\"], \"id\": 1}", "found `turns` and `id`; name the field that holds the prompt"),
        ("{\"prompt\": 3}", "expected a string or a list of messages in `prompt`, found a number"),
        ("{\"prompt\": [\"a\"]}", "expected messages (objects with `content`) in `prompt`, found a string"),
        ("{\"messages\": []}", "`messages` is an empty list of messages"),
        ("{\"messages\": [{\"role\": \"user\"}]}", "the last message in `messages` has no `content`"),
    ] {
        let error = read(Format::Jsonl, line.as_bytes(), &Options::default()).unwrap_err();
        assert_error(&error, expected);
        assert!(!error.message().contains("at line"), "{}", error.message());
    }
    let error = read(Format::Jsonl, br#"{"prompt": "a"}"#, &column("input")).unwrap_err();
    assert_eq!(error.message(), "input, line 1: expected a field `input`, found `prompt`");
}

#[test]
fn csv_keeps_quotes_commas_and_line_breaks() {
    let bytes = b"\xef\xbb\xbfid,Prompt, question ,note\r\n1,x,\"say \"\"hi\"\", then\nstop\",\r\n\r\n2,x,plain,\"a,b\"\r\n3,x,,\r\n";
    let expected = rows(&[(1, "say \"hi\", then\nstop"), (2, "plain"), (3, "")]);
    assert_eq!(all(Format::Csv, bytes), expected);
    assert_eq!(read(Format::Csv, bytes, &column("note")).unwrap(), rows(&[(1, ""), (2, "a,b"), (3, "")]));
    assert_eq!(all(Format::Csv, b""), []);
    assert_eq!(all(Format::Csv, b"prompt\n"), []);
    assert_eq!(all(Format::Csv, b"prompt\nno line end"), rows(&[(1, "no line end")]));
}

#[test]
fn csv_errors_name_columns_rows_and_lines() {
    let error = |bytes: &[u8], options: &Options| read(Format::Csv, bytes, options).unwrap_err();
    let found = error(b"a,b\n1,2\n", &Options::default());
    assert_eq!(
        found.message(),
        "input: has none of the columns `prompt`, `question` and `text`: its header has `a` and `b`; name the column \
         that holds the prompt"
    );
    assert_error(&error(b"a,b\n1,2\n", &column("c")), "has no column `c`: its header has `a` and `b`");
    assert_error(&error(b"prompt,prompt\n1,2\n", &Options::default()), "several columns called `prompt`");
    let found = error(b"id,prompt\n1,\"a\nb\"\n2\n", &Options::default());
    assert_eq!(found.message(), "input, row 2 (line 4): expected 2 fields as in the header, found 1");
    for open in ["prompt\nfine\n\"never closed\nmore\n", "prompt\nfine\n\"", "prompt\nfine\n\"x"] {
        assert_error(&error(open.as_bytes(), &Options::default()), "row 2 (line 3): a quoted field is never closed");
    }
}

#[test]
fn bad_rows_end_the_reading_after_what_was_before_them_or_are_counted() {
    let bytes = b"\"a\"\n\"b\"\nnot json\n\"c\"\n{}\n";
    let open = |skip_bad| {
        let options = Options { skip_bad, ..Options::default() };
        Prompts::from_read("input".to_owned(), Box::new(Cursor::new(bytes)), Format::Jsonl, &options).unwrap()
    };
    let mut strict = open(false);
    assert_eq!(strict.next_batch(100).unwrap().len(), 2);
    assert_error(&strict.next_batch(100).unwrap_err(), "input, line 3: is not JSON");
    assert!(strict.next_batch(100).unwrap().is_empty());

    let mut lenient = open(true);
    let texts: Vec<_> = lenient.by_ref().map(|prompt| prompt.unwrap().text).collect();
    assert_eq!(texts, ["a", "b", "c"]);
    assert_eq!(lenient.skipped(), 2);
    assert_error(&Error::value(lenient.first_skipped().unwrap()), "input, line 3: is not JSON");
}

#[test]
fn a_row_beyond_the_limit_is_bad_and_does_not_fill_the_memory() {
    let huge = || io::repeat(b'x').take(MAX_ROW_BYTES as u64 + 10);
    let options = Options { skip_bad: true, ..Options::default() };
    let input = Box::new(Cursor::new(b"a\n").chain(huge()).chain(Cursor::new(b"\nb\n")));
    let mut prompts = Prompts::from_read("input".to_owned(), input, Format::Text, &options).unwrap();
    let read: Vec<_> = prompts.by_ref().map(|prompt| prompt.unwrap()).collect();
    assert_eq!(read.iter().map(|prompt| (prompt.row, prompt.text.as_str())).collect::<Vec<_>>(), [(1, "a"), (3, "b")]);
    assert_eq!(prompts.skipped(), 1);
    assert_error(&Error::value(prompts.first_skipped().unwrap()), "line 2: is longer than 64 MiB");

    // A quote that is never closed makes the rest of an endless file one record.
    let input = Box::new(Cursor::new(b"prompt\n\"").chain(io::repeat(b'x')));
    let mut prompts = Prompts::from_read("input".to_owned(), input, Format::Csv, &options).unwrap();
    assert_error(&prompts.next().unwrap().unwrap_err(), "is a quoted field never closed?");

    let line = vec![b'y'; 3 << 20];
    assert_eq!(all(Format::Text, &line)[0].1.len(), line.len());
}

#[test]
fn a_slow_pipe_is_served_as_it_comes() {
    struct Chunks(Vec<&'static [u8]>);
    impl Read for Chunks {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let Some(chunk) = self.0.pop() else { return Ok(0) };
            buffer[..chunk.len()].copy_from_slice(chunk);
            Ok(chunk.len())
        }
    }
    let input = Box::new(Chunks(vec![b"ee\nlast", b"one\ntwo\nthr"]));
    let mut prompts = Prompts::from_read("pipe".to_owned(), input, Format::Text, &Options::default()).unwrap();
    let mut sizes = Vec::new();
    loop {
        let batch = prompts.next_batch(100).unwrap();
        if batch.is_empty() {
            break;
        }
        sizes.push(batch.len());
    }
    // "thr" is there already, so "three" is waited for; "last" ends with the input.
    assert_eq!(sizes, [4]);

    let input = Box::new(Chunks(vec![b"three\n", b"one\ntwo\n"]));
    let mut prompts = Prompts::from_read("pipe".to_owned(), input, Format::Text, &Options::default()).unwrap();
    assert_eq!(prompts.next_batch(100).unwrap().len(), 2);
    assert_eq!(prompts.next_batch(100).unwrap().len(), 1);

    let input = Box::new(Chunks(vec![b"three\n", b"one\r\ntwo\r\n", b"mpt\r\n", b"pro"]));
    let mut prompts = Prompts::from_read("pipe".to_owned(), input, Format::Csv, &Options::default()).unwrap();
    assert_eq!(prompts.next_batch(100).unwrap().len(), 2);
    assert_eq!(prompts.next_batch(100).unwrap().len(), 1);
}

#[test]
fn an_interrupt_is_told_at_once() {
    struct Cut(bool);
    impl Read for Cut {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            if std::mem::replace(&mut self.0, true) {
                return Err(io::ErrorKind::Interrupted.into());
            }
            buffer[..3].copy_from_slice(b"a\nb");
            Ok(3)
        }
    }
    let options = Options { on_interrupt: Some(|| false), ..Options::default() };
    let mut prompts = Prompts::from_read("pipe".to_owned(), Box::new(Cut(false)), Format::Text, &options).unwrap();
    assert_eq!(prompts.next_batch(100).unwrap_err().kind(), Kind::Cancelled);
}

#[test]
fn lone_surrogates_become_the_replacement_character() {
    for (line, expected) in [
        (r#""\ud800 x""#, "\u{fffd} x"),
        (r#"{"prompt": "\uD83D\ude00 \uDE00\uD83D"}"#, "\u{1f600} \u{fffd}\u{fffd}"),
        (r#""\\ud800 \udfff\"""#, "\\ud800 \u{fffd}\""),
    ] {
        assert_eq!(all(Format::Jsonl, line.as_bytes()), rows(&[(1, expected)]), "{line}");
    }
    let error = read(Format::Jsonl, br#"{"\ud800": nope}"#, &Options::default()).unwrap_err();
    assert_error(&error, "is not JSON");
}

#[test]
fn a_page_that_would_fill_the_memory_is_refused() {
    let level = ZstdLevel::try_new(1).unwrap();
    let huge = "x".repeat(MAX_ROW_BYTES + (3 << 20));
    for compression in [Compression::ZSTD(level), Compression::GZIP(GzipLevel::default()), Compression::SNAPPY] {
        let bytes = parquet_file(STRINGS, compression, false, &[vec![Some("a")], vec![Some(&huge)]]);
        let mut prompts = open_parquet(&bytes, &Options::default()).unwrap();
        assert_eq!(prompts.next().unwrap().unwrap().text, "a");
        assert_error(&prompts.next().unwrap().unwrap_err(), "a page takes 67 MiB unpacked");
    }
    let long = "x".repeat(MAX_ROW_BYTES + 1);
    let bytes = parquet_file(STRINGS, Compression::ZSTD(level), false, &[vec![Some(&long)]]);
    let error = open_parquet(&bytes, &Options::default()).unwrap().next().unwrap().unwrap_err();
    assert_error(&error, "row 1: is longer than 64 MiB");
}

#[test]
fn a_signal_ends_a_wait_only_if_its_handler_says_so() {
    struct Signalled(usize);
    impl Read for Signalled {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.0 += 1;
            match self.0 {
                1 => Err(io::ErrorKind::Interrupted.into()),
                2 => {
                    buffer[..2].copy_from_slice(b"a\n");
                    Ok(2)
                }
                _ => Ok(0),
            }
        }
    }
    static ASKED: AtomicUsize = AtomicUsize::new(0);
    let open = |on_interrupt| {
        let options = Options { on_interrupt, ..Options::default() };
        Prompts::from_read("pipe".to_owned(), Box::new(Signalled(0)), Format::Text, &options).unwrap()
    };
    let go_on = || {
        ASKED.fetch_add(1, Ordering::Relaxed);
        true
    };
    assert_eq!(open(Some(go_on)).map(|prompt| prompt.unwrap().text).collect::<Vec<_>>(), ["a"]);
    assert_eq!(ASKED.load(Ordering::Relaxed), 1);
    assert_eq!(open(Some(|| false)).next().unwrap().unwrap_err().kind(), Kind::Cancelled);
    assert_eq!(open(None).count(), 1);
}

#[test]
fn formats_follow_the_extension() {
    let of = |name: &str| Format::from_path(&PathBuf::from(name));
    for (name, format) in [
        ("a.txt", Format::Text),
        ("dir.csv/a", Format::Text),
        ("a.jsonl", Format::Jsonl),
        ("a.NDJSON", Format::Jsonl),
        ("a.b.csv", Format::Csv),
        ("a.parquet", Format::Parquet),
    ] {
        assert_eq!(of(name).unwrap(), format, "{name}");
        assert_eq!(Format::from_name(format.name()).unwrap(), format);
    }
    assert_error(&of("a.json").unwrap_err(), "a.json: the extension `.json` does not say");
    assert_error(&Format::from_name("xml").unwrap_err(), "unknown format `xml`: expected text, jsonl, csv or parquet");
}

#[test]
fn files_that_cannot_be_read_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let open = |path: PathBuf| Prompts::open(&path, &Options::default()).unwrap_err();
    let missing = open(folder.path().join("none.txt"));
    assert_eq!(missing.kind(), Kind::Missing);
    assert_error(&missing, "none.txt: no such file");
    assert_error(&open(folder.path().to_owned()), "is a folder");
    for (name, bytes) in [("empty.parquet", &b""[..]), ("text.parquet", &b"not a Parquet file at all"[..])] {
        fs::write(folder.path().join(name), bytes).unwrap();
        assert_error(&open(folder.path().join(name)), "is not a readable Parquet file");
    }
    let piped = Prompts::from_read("pipe".to_owned(), Box::new(io::empty()), Format::Parquet, &Options::default());
    assert_eq!(piped.unwrap_err().kind(), Kind::Unsupported);
}

/// Writes `groups` of optional strings, as `write_group` lays them out.
fn parquet_file(schema: &str, compression: Compression, dictionary: bool, groups: &[Vec<Option<&str>>]) -> Vec<u8> {
    let schema = Arc::new(parse_message_type(schema).unwrap());
    let properties = WriterProperties::builder()
        .set_compression(compression)
        .set_dictionary_enabled(dictionary)
        .set_data_page_row_count_limit(700)
        .set_write_batch_size(100)
        .build();
    let mut bytes = Vec::new();
    let mut file = SerializedFileWriter::new(&mut bytes, schema, Arc::new(properties)).unwrap();
    for group in groups {
        let mut writer = file.next_row_group().unwrap();
        while let Some(mut column) = writer.next_column().unwrap() {
            match column.untyped() {
                ColumnWriter::ByteArrayColumnWriter(strings) => {
                    let values: Vec<_> = group.iter().flatten().map(|text| ByteArray::from(*text)).collect();
                    let levels: Vec<_> = group.iter().map(|text| i16::from(text.is_some())).collect();
                    strings.write_batch(&values, Some(&levels), None).unwrap();
                }
                ColumnWriter::Int32ColumnWriter(numbers) => {
                    numbers.write_batch(&vec![7; group.len()], None, None).unwrap();
                }
                _ => panic!("a column the test does not fill"),
            }
            column.close().unwrap();
        }
        writer.close().unwrap();
    }
    file.close().unwrap();
    bytes
}

fn open_parquet(bytes: &[u8], options: &Options) -> Result<Prompts> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.parquet");
    fs::write(&path, bytes).unwrap();
    Prompts::open(&path, options)
}

const STRINGS: &str = "message m { required int32 id; optional binary question (UTF8); }";

#[test]
fn parquet_reads_every_compression_encoding_and_row_group() {
    let texts: Vec<_> = (0..3000).map(|i| format!("question {} ü", i % 1100)).collect();
    let group = |from: usize| texts[from..from + 1500].iter().map(|text| Some(text.as_str())).collect::<Vec<_>>();
    let groups = [group(0), Vec::new(), group(1500)];
    let zstd = Compression::ZSTD(ZstdLevel::default());
    for compression in [Compression::UNCOMPRESSED, zstd, Compression::SNAPPY, Compression::GZIP(GzipLevel::default())] {
        for dictionary in [true, false] {
            let bytes = parquet_file(STRINGS, compression, dictionary, &groups);
            let prompts = open_parquet(&bytes, &Options::default()).unwrap();
            let read: Vec<_> = prompts.map(|prompt| prompt.unwrap()).collect();
            assert_eq!(read.len(), texts.len(), "{compression} {dictionary}");
            for (i, (prompt, text)) in read.iter().zip(&texts).enumerate() {
                assert_eq!((prompt.row, &prompt.text), (i as u64 + 1, text));
            }
        }
    }
    let empty = parquet_file(STRINGS, zstd, true, &[]);
    assert_eq!(open_parquet(&empty, &Options::default()).unwrap().count(), 0);
}

#[test]
fn parquet_nulls_are_bad_rows_wherever_they_stand() {
    let mut texts: Vec<_> = (0..2500).map(|i| (i % 3 != 1).then_some("text")).collect();
    texts[1023] = None;
    texts[1024] = None;
    let bytes = parquet_file(STRINGS, Compression::SNAPPY, true, &[texts.clone()]);
    let options = Options { skip_bad: true, ..Options::default() };
    let mut prompts = open_parquet(&bytes, &options).unwrap();
    let found: Vec<_> = prompts.by_ref().map(|prompt| prompt.unwrap().row).collect();
    let expected: Vec<_> = (1..).zip(&texts).filter(|(_, text)| text.is_some()).map(|(row, _)| row).collect();
    assert_eq!(found, expected);
    assert_eq!(prompts.skipped() as usize, texts.len() - expected.len());
    let error = open_parquet(&bytes, &Options::default()).unwrap().find_map(Result::err).unwrap();
    assert_error(&error, "row 2: expected a string, found null");
}

#[test]
fn parquet_columns_that_hold_no_strings_are_named() {
    let bytes = parquet_file(STRINGS, Compression::UNCOMPRESSED, true, &[]);
    for (name, expected) in [
        ("id", "column `id`: expected strings, found INT32; the columns of strings are `question`"),
        ("nope", "has no column `nope`: its columns of strings are `question`"),
    ] {
        assert_error(&open_parquet(&bytes, &column(name)).unwrap_err(), expected);
    }
    let nested = "message m { optional group messages (LIST) { repeated group list { optional group element {
        optional binary content (UTF8); } } } optional binary answer (UTF8); }";
    let bytes = parquet_file(nested, Compression::UNCOMPRESSED, true, &[]);
    let expected = "column `messages`: expected strings, found nested values (a list, map or struct)";
    for options in [Options::default(), column("messages")] {
        assert_error(&open_parquet(&bytes, &options).unwrap_err(), expected);
    }
    let repeated = parquet_file("message m { repeated binary text (UTF8); }", Compression::UNCOMPRESSED, true, &[]);
    assert_error(&open_parquet(&repeated, &Options::default()).unwrap_err(), "found a repeated value (a list)");
    let other = parquet_file("message m { required int32 id; }", Compression::UNCOMPRESSED, true, &[]);
    assert_error(
        &open_parquet(&other, &Options::default()).unwrap_err(),
        "has none of the columns `prompt`, `question` and `text`; its columns of strings are none",
    );
}

#[test]
fn damaged_parquet_is_an_error_and_never_a_panic() {
    let texts: Vec<_> = (0..300).map(|i| (i % 7 != 1).then_some("some text, long enough to compress")).collect();
    let bytes = parquet_file(STRINGS, Compression::SNAPPY, true, &[texts.clone(), texts]);
    let read = |bytes: &[u8]| open_parquet(bytes, &Options::default()).map(Iterator::count);
    for length in (0..bytes.len()).step_by(11) {
        assert!(read(&bytes[..length]).is_err(), "cut at {length}");
    }
    for at in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x5a;
        // Some damage changes only a text or a statistic; what matters is that nothing panics.
        let _ = read(&damaged);
    }
}

proptest! {
    #[test]
    fn jsonl_and_csv_give_back_what_was_written(texts in prop::collection::vec(".{0,40}|[\"\r\n, ]{0,6}", 0..20)) {
        let lines: String = texts.iter().map(|text| serde_json::to_string(text).unwrap() + "\n").collect();
        let read = all(Format::Jsonl, lines.as_bytes());
        prop_assert_eq!(read.iter().map(|(_, text)| text).collect::<Vec<_>>(), texts.iter().collect::<Vec<_>>());

        let mut writer = csv::Writer::from_writer(Vec::new());
        writer.write_record(["id", "prompt"]).unwrap();
        for text in &texts {
            writer.write_record(["1", text]).unwrap();
        }
        let read = all(Format::Csv, &writer.into_inner().unwrap());
        prop_assert_eq!(read.iter().map(|(_, text)| text).collect::<Vec<_>>(), texts.iter().collect::<Vec<_>>());
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        for format in [Format::Text, Format::Jsonl, Format::Csv] {
            for skip_bad in [false, true] {
                let _ = read(format, &bytes, &Options { skip_bad, ..Options::default() });
            }
        }
    }
}
