//! Our `WordPiece` gives the ids of the `tokenizers` crate for every string.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failing test should stop")]

use std::sync::LazyLock;

use ferroute::text::featuriser::Featuriser;
use ferroute::text::wordpiece::WordPiece;
use proptest::prelude::*;
use tokenizers::models::wordpiece::WordPiece as TheirModel;
use tokenizers::normalizers::BertNormalizer;
use tokenizers::pre_tokenizers::bert::BertPreTokenizer;
use tokenizers::{Model, Tokenizer};

fn ours() -> &'static WordPiece<'static> {
    Featuriser::shared().unwrap().table().tokenizer()
}

static THEIRS: LazyLock<Tokenizer> = LazyLock::new(|| {
    let vocabulary = ours().vocabulary();
    let pieces = vocabulary.pieces().map(|piece| {
        let before = if piece.continuation { "##" } else { "" };
        (format!("{before}{}", piece.text), piece.id.into())
    });
    let file = serde_json::json!({
        "type": "WordPiece",
        "unk_token": "[UNK]",
        "continuing_subword_prefix": "##",
        "max_input_chars_per_word": 100,
        "vocab": pieces.collect::<serde_json::Map<_, _>>(),
    });
    let model: TheirModel = serde_json::from_str(&file.to_string()).unwrap();
    assert_eq!(model.get_vocab_size(), 30_522);
    let mut tokenizer = Tokenizer::new(model);
    let _ = tokenizer.with_normalizer(Some(BertNormalizer::default()));
    let _ = tokenizer.with_pre_tokenizer(Some(BertPreTokenizer));
    tokenizer
});

#[test]
fn each_piece_is_found_by_its_id() {
    let vocabulary = ours().vocabulary();
    let places = vocabulary.places();
    assert_eq!(places.len(), vocabulary.len());
    for piece in vocabulary.pieces() {
        assert_eq!(vocabulary.piece_at(places[usize::from(piece.id)]), Some(piece));
    }
    assert_eq!(vocabulary.piece_at(u32::MAX), None);
}

#[track_caller]
fn assert_same(text: &str) {
    let mut ids = Vec::new();
    ours().encode(text, &mut ids);
    let ids: Vec<u32> = ids.into_iter().map(u32::from).collect();
    assert_eq!(ids, THEIRS.encode_fast(text, false).unwrap().get_ids(), "{text:?}");
    assert!(ours().paths_agree(text), "{text:?}");
}

#[test]
fn chosen_texts() {
    let long = "x".repeat(100);
    let longer = "é".repeat(101);
    let texts = [
        "",
        " ",
        "\0",
        "Hello, World!",
        "unaffable tokenisation antidisestablishmentarianism",
        "naïve café déjà-vu",
        "İstanbul ǅ ﬃ ß ẞ Ω K Å",
        "日本語のテキスト漢字 한국어",
        "a\u{b}b a\u{c}b a\u{85}b a\u{7f}b a\u{2028}b a\u{a0}b a\u{200b}b a\u{feff}b",
        "e\u{301}\u{327} \u{301}alone a\u{1d165}\u{1d16e}b \u{302e}x",
        "[CLS] [SEP] [UNK] [MASK] ##ing",
        "the \u{fffd}quick\u{fffd} brown",
        "👩‍👩‍👧‍👦 🇩🇪 ☕️",
        "\u{f900}\u{2f800}\u{fa0e}",
        "x²+y³=∑ “quoted” ‘single’ — dash…",
        "مرحبا بالعالم שלום עולם नमस्ते",
        &long,
        &longer,
        "\u{e000}\u{10ffff}\u{378}",
    ];
    texts.into_iter().for_each(assert_same);
    // The limit on a word's length counts characters, after normalisation, and splits at 100.
    for letter in ['a', 'é', '漢', 'ж', 'ﬃ'] {
        for count in [99, 100, 101, 102, 399, 401] {
            assert_same(&letter.to_string().repeat(count));
        }
    }
}

#[test]
fn every_character() {
    let text = |c: char| format!("a{c}b {c} {c}{c}");
    for c in (char::MIN..=char::MAX).step_by(3) {
        let (mut fast, mut slow) = (Vec::new(), Vec::new());
        ours().encode(&text(c), &mut fast);
        ours().encode_slowly(&text(c), &mut slow);
        assert_eq!(fast, slow, "{c:?}");
    }
    for c in ('\0'..='\u{33ff}').chain('\u{f900}'..='\u{ffff}').chain('\u{1d100}'..='\u{1d1ff}') {
        assert_same(&text(c));
    }
}

fn nasty() -> impl Strategy<Value = String> {
    let mark = prop::char::range('\u{300}', '\u{36f}');
    let piece = prop_oneof![
        4 => "[a-zA-Z]{1,12}",
        2 => "[ -~]{1,8}",
        1 => any::<char>().prop_map(String::from),
        1 => mark.prop_map(String::from),
        1 => prop::char::range('\u{4e00}', '\u{9fff}').prop_map(String::from),
        1 => prop::char::range('\u{ac00}', '\u{d7a3}').prop_map(String::from),
        1 => prop::char::range('\u{1d100}', '\u{1d1ff}').prop_map(String::from),
        1 => prop::char::range('\0', '\u{1f}').prop_map(String::from),
        1 => prop::char::range('\u{80}', '\u{24f}').prop_map(String::from),
        1 => prop::char::range('\u{2000}', '\u{206f}').prop_map(String::from),
        1 => prop::char::range('\u{900}', '\u{97f}').prop_map(String::from),
        1 => prop::sample::select(vec!["\0", "\u{fffd}", " ", "\n", "\t", "\r", "##", "[UNK]", "[CLS]", "'", "\u{345}"]).prop_map(String::from),
        1 => ("[a-zé漢]", 90usize..110).prop_map(|(letter, count)| letter.repeat(count)),
    ];
    prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_string(text in any::<String>()) {
        assert_same(&text);
    }

    #[test]
    fn nasty_strings(text in nasty()) {
        assert_same(&text);
    }

    #[test]
    fn ascii(text in "[\\x00-\\x7f]{0,200}") {
        assert_same(&text);
    }
}

/// A vocabulary word in any surrounding is found, whatever bucket it lies in.
#[test]
fn every_piece_is_found_by_name() {
    let vocabulary = ours().vocabulary();
    for piece in vocabulary.pieces() {
        let name = format!("{}{}", if piece.continuation { "##" } else { "" }, piece.text);
        assert_eq!(vocabulary.id(&name), Some(piece.id), "{name}");
    }
    assert_eq!(vocabulary.id("no such piece"), None);
    assert_eq!(vocabulary.id(""), None);
}
