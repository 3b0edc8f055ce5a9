//! A checkpoint's own `tokenizer.json`, by the tokenizers crate, as transformers would use it.
//!
//! transformers does not use that file as it is: `tokenizer_config.json` and its neighbours add tokens, set the length
//! and, in some tokenizer classes, replace a part of the pipeline. [`settings`] reads what they say.

mod growth;
mod settings;
mod unigram;

use std::fmt;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use serde::Deserialize;
use tokenizers::normalizers::BertNormalizer;
use tokenizers::processors::template::TemplateProcessing;
use tokenizers::{
    AddedToken, DecoderWrapper, NormalizerWrapper, PostProcessor, PostProcessorWrapper, PreTokenizerWrapper,
    TokenizerBuilder, TokenizerImpl, TruncationDirection, TruncationParams,
};

use self::settings::{Class, Named, Settings};
use self::unigram::Model;
use crate::error::{Error, Kind, Result};

/// The one file that is needed.
pub const TOKENIZER: &str = "tokenizer.json";

/// Largest file that is read; the largest published ones have 35 MB.
const LARGEST: u64 = 512 << 20;

/// Where texts are cut to a number of tokens, so many bytes for each are read at most: tokens longer than this are none that
/// a prompt is made of (a megabyte of blanks is).
const BYTES_A_TOKEN: usize = 512;

/// Texts up to this length are read whole, however few tokens are kept.
const READ_WHOLE: usize = 256 << 10;

/// The crate's pipeline around a model.
type Pipeline<M> = TokenizerImpl<M, NormalizerWrapper, PreTokenizerWrapper, PostProcessorWrapper, DecoderWrapper>;

/// A tokenizer as a checkpoint folder defines it. Nothing is cut or padded unless [`Self::truncating`] is asked for.
#[derive(Clone)]
pub struct Tokenizer {
    inner: Pipeline<Model>,
    max_length: Option<usize>,
    direction: TruncationDirection,
    clean_up: bool,
}

/// Ids of a text, and for each the segment it is in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encoded {
    /// Token ids.
    pub ids: Vec<u32>,
    /// Token type ids, equally many.
    pub types: Vec<u32>,
}

impl Tokenizer {
    /// Reads `tokenizer.json` of a folder (or a file of that kind) and what lies beside it.
    ///
    /// Truncation and padding stored in `tokenizer.json` are ignored, as in transformers.
    ///
    /// # Errors
    /// `Kind::Missing` when there is none; where the folder has a vocabulary of another form, the message gives the
    /// command that converts it. `Kind::Checkpoint` for a file whose content is not understood.
    pub fn open(path: &Path) -> Result<Self> {
        let file = if path.is_dir() { path.join(TOKENIZER) } else { path.to_path_buf() };
        let folder = file.parent().unwrap_or(Path::new("."));
        let size = fs::metadata(&file).map_err(|e| missing(path, &file, &e))?.len();
        if size > LARGEST {
            let message = format!("{} has {size} bytes; at most {LARGEST} are read", file.display());
            return Err(Error::new(Kind::Checkpoint, message));
        }
        let bytes =
            fs::read(&file).map_err(|e| Error::new(Kind::Io, format!("cannot read {}: {e}", file.display())))?;
        let settings = Settings::read(folder)?;
        let wrong = |e: &dyn fmt::Display| Error::new(Kind::Checkpoint, format!("{}: {e}", file.display()));
        let mut inner = guarded(|| pipeline(&bytes).map_err(|e| wrong(&e))).flatten()?;
        drop(bytes);
        let direction = settings.direction.or_else(|| inner.get_truncation().map(|stored| stored.direction));
        guarded(|| {
            inner.with_padding(None);
            inner.with_truncation(None).map_err(|e| wrong(&e))?;
            adjust(&mut inner, &settings).map_err(|e| wrong(&e))
        })
        .flatten()?;
        let direction = direction.unwrap_or_default();
        Ok(Self { inner, max_length: settings.max_length, direction, clean_up: settings.clean_up })
    }

    /// `model_max_length` of `tokenizer_config.json`: the most ids a text is cut to, special ones included.
    pub fn max_length(&self) -> Option<usize> {
        self.max_length
    }

    /// The same tokenizer, cutting every text to [`Self::max_length`]; without one nothing is cut.
    ///
    /// # Errors
    /// `Kind::Checkpoint` when not even the special tokens would fit.
    pub fn truncating(mut self) -> Result<Self> {
        let Some(max_length) = self.max_length else { return Ok(self) };
        let special = self.special_per_text();
        if max_length < special {
            let message = format!(
                "model_max_length is {max_length}, but the {special} special tokens around a text must fit: expected at \
                 least {special}"
            );
            return Err(Error::new(Kind::Checkpoint, message));
        }
        let params = TruncationParams { max_length, direction: self.direction, ..TruncationParams::default() };
        self.inner.with_truncation(Some(params)).map_err(|e| Error::new(Kind::Checkpoint, e.to_string()))?;
        Ok(self)
    }

    /// How many tokens are put around a text.
    pub fn special_per_text(&self) -> usize {
        self.inner.get_post_processor().map_or(0, |processor| processor.added_tokens(false))
    }

    /// Ids of a text, with the special tokens the tokenizer adds. Special tokens written in the text become their ids.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        self.encode_with(text, true)
    }

    /// Ids of a text, with or without the special tokens around it.
    pub fn encode_with(&self, text: &str, add_special: bool) -> Result<Vec<u32>> {
        Ok(self.typed(text, add_special)?.ids)
    }

    /// Ids and token types of a text, with the special tokens the tokenizer adds.
    pub fn encode_typed(&self, text: &str) -> Result<Encoded> {
        self.typed(text, true)
    }

    /// The part of a text that what is kept of it can come from. Without this, 10 MB are tokenised for a quarter of a minute
    /// to keep 512 tokens.
    fn read_part<'t>(&self, text: &'t str) -> &'t str {
        let Some(kept) = self.inner.get_truncation() else { return text };
        let most = kept.max_length.saturating_mul(BYTES_A_TOKEN).max(READ_WHOLE);
        match kept.direction {
            _ if text.len() <= most => text,
            TruncationDirection::Right => &text[..text.floor_char_boundary(most)],
            TruncationDirection::Left => &text[text.ceil_char_boundary(text.len() - most)..],
        }
    }

    fn typed(&self, text: &str, add_special: bool) -> Result<Encoded> {
        let text = self.read_part(text);
        // Offsets are asked for by nobody, and cost as much as the tokens.
        let encoding = guarded(|| self.inner.encode_fast(text, add_special))?;
        let encoding = encoding.map_err(|e| Error::value(format!("cannot tokenize: {e}")))?;
        Ok(Encoded { ids: encoding.get_ids().to_vec(), types: encoding.get_type_ids().to_vec() })
    }

    /// Appends special tokens to the vocabulary; gives the number by which it grew.
    pub fn add_special_tokens(&mut self, tokens: &[&str]) -> Result<usize> {
        let before = self.len();
        let tokens = tokens.iter().map(|&token| AddedToken::from(token, true));
        guarded(|| self.inner.add_special_tokens(tokens))?
            .map_err(|e| Error::value(format!("cannot add special tokens: {e}")))?;
        Ok(self.len() - before)
    }

    /// Tokens in the vocabulary, added ones included.
    pub fn len(&self) -> usize {
        self.inner.get_vocab_size(true)
    }

    /// Whether the vocabulary is empty.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Id of a token.
    pub fn token_to_id(&self, token: &str) -> Option<u32> {
        self.inner.token_to_id(token)
    }

    /// Token of an id.
    pub fn id_to_token(&self, id: u32) -> Option<String> {
        self.inner.id_to_token(id)
    }

    /// Text of ids, special tokens included. White space before punctuation is removed where `tokenizer_config.json`
    /// asks for it (`clean_up_tokenization_spaces`; also where it says nothing).
    pub fn decode(&self, ids: &[u32]) -> Result<String> {
        let text = guarded(|| self.inner.decode(ids, false))?;
        let text = text.map_err(|e| Error::value(format!("cannot decode: {e}")))?;
        Ok(if self.clean_up { clean_up(text) } else { text })
    }
}

impl fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (tokens, max_length) = (self.len(), self.max_length);
        f.debug_struct("Tokenizer").field("tokens", &tokens).field("max_length", &max_length).finish_non_exhaustive()
    }
}

/// The pipeline that stands in a `tokenizer.json`.
fn pipeline(bytes: &[u8]) -> tokenizers::Result<Pipeline<Model>> {
    #[derive(Deserialize)]
    struct Peek {
        model: Kind,
        normalizer: Option<NormalizerWrapper>,
        pre_tokenizer: Option<PreTokenizerWrapper>,
    }
    #[derive(Deserialize)]
    struct Kind {
        r#type: Option<String>,
    }
    let peek: Peek = serde_json::from_slice(bytes)?;
    // Before anything is built: added tokens go through the normalizer as soon as they are known.
    growth::check(&serde_json::to_value((&peek.normalizer, &peek.pre_tokenizer))?)?;
    if peek.model.r#type.as_deref() == Some("Unigram") {
        return Ok(serde_json::from_slice(bytes)?);
    }
    let other = tokenizers::Tokenizer::from_bytes(bytes)?.into_inner();
    TokenizerBuilder::new()
        .with_model(Model::Other(Box::new(other.get_model().clone())))
        .with_normalizer(other.get_normalizer().cloned())
        .with_pre_tokenizer(other.get_pre_tokenizer().cloned())
        .with_post_processor(other.get_post_processor().cloned())
        .with_decoder(other.get_decoder().cloned())
        .with_added_vocabulary(other.get_added_vocabulary().clone())
        .with_truncation(other.get_truncation().cloned())
        .build()
}

/// Makes `tokenizer.json`'s pipeline what the tokenizer class of transformers makes of it.
fn adjust(tokenizer: &mut Pipeline<Model>, settings: &Settings) -> tokenizers::Result<()> {
    add_tokens(tokenizer, settings)?;
    tokenizer.set_encode_special_tokens(settings.split_special);
    match settings.class {
        Class::Bert => {
            if let Some(&NormalizerWrapper::BertNormalizer(BertNormalizer { clean_text, .. })) =
                tokenizer.get_normalizer()
            {
                let normalizer =
                    BertNormalizer::new(clean_text, settings.chinese, settings.strip_accents, settings.lowercase);
                tokenizer.with_normalizer(Some(normalizer))?;
            }
        }
        Class::Roberta => {
            if let Some(&PreTokenizerWrapper::ByteLevel(bytes)) = tokenizer.get_pre_tokenizer() {
                tokenizer.with_pre_tokenizer(Some(bytes.add_prefix_space(settings.prefix_space)));
            }
        }
        Class::Llama => {
            let template = around(tokenizer, settings)?;
            tokenizer.with_post_processor(Some(template));
        }
        Class::XlmRoberta | Class::Other => {}
    }
    Ok(())
}

fn add_tokens(tokenizer: &mut Pipeline<Model>, settings: &Settings) -> tokenizers::Result<()> {
    let known = tokenizer.get_added_tokens_decoder();
    let mut tokens = settings.added.clone();
    for Named { token, exact } in &settings.named {
        let listed = tokens.iter_mut().find(|listed| listed.content == token.content);
        if let Some(listed) = listed {
            listed.special = true;
        } else if *exact || known.values().all(|known| known.content != token.content) {
            tokens.push(token.clone());
        }
    }
    if !tokens.is_empty() {
        tokenizer.add_tokens(tokens)?;
    }
    Ok(())
}

/// What Llama's tokenizer class puts around a text, whatever the file says.
fn around(tokenizer: &Pipeline<Model>, settings: &Settings) -> tokenizers::Result<TemplateProcessing> {
    let id = |token: &Option<String>| {
        token.as_ref().and_then(|token| tokenizer.token_to_id(token).map(|id| (token.clone(), id)))
    };
    let (before, after) = (id(&settings.before), id(&settings.after));
    let name = |(token, _): &(String, u32)| token.clone();
    let pieces: Vec<String> = before.iter().map(name).chain(["$A".to_owned()]).chain(after.iter().map(name)).collect();
    let mut builder = TemplateProcessing::builder();
    builder.try_single(pieces)?;
    builder.special_tokens(before.into_iter().chain(after).collect::<Vec<_>>());
    Ok(builder.build()?)
}

/// Runs foreign code that may panic on a hostile file.
fn guarded<T>(work: impl FnOnce() -> T) -> Result<T> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| {
        let said = panic.downcast_ref::<&str>().map(|&text| text.to_owned());
        let said = said.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
        Error::new(Kind::Checkpoint, format!("the tokenizer's own rules cannot be followed: {said}"))
    })
}

fn missing(path: &Path, file: &Path, error: &std::io::Error) -> Error {
    let shown = path.display();
    if error.kind() != std::io::ErrorKind::NotFound && error.kind() != std::io::ErrorKind::NotADirectory {
        return Error::new(Kind::Io, format!("cannot read {}: {error}", file.display()));
    }
    if !path.is_dir() {
        return Error::new(Kind::Missing, format!("there is no file or folder {shown}"));
    }
    let others = ["vocab.txt", "vocab.json", "sentencepiece.bpe.model", "spiece.model", "tokenizer.model"];
    let found = others.into_iter().find(|name| path.join(name).is_file());
    let message = found.map_or_else(
        || format!("the folder {shown} holds no {TOKENIZER}"),
        |found| {
            let quoted = format!("'{}'", shown.to_string().replace('\'', r"'\''"));
            format!(
                "the folder {shown} holds {found} but no {TOKENIZER}; this command (it needs transformers and \
                 sentencepiece) writes it: python -c \"import sys; from transformers import AutoTokenizer; \
                 AutoTokenizer.from_pretrained(sys.argv[1]).save_pretrained(sys.argv[1])\" {quoted}"
            )
        },
    );
    Error::new(Kind::Missing, message)
}

/// White space that transformers takes out of decoded English.
fn clean_up(text: String) -> String {
    let joined = [
        (" .", "."),
        (" ?", "?"),
        (" !", "!"),
        (" ,", ","),
        (" ' ", "'"),
        (" n't", "n't"),
        (" 'm", "'m"),
        (" 's", "'s"),
        (" 've", "'ve"),
        (" 're", "'re"),
    ];
    joined.into_iter().fold(text, |text, (apart, together)| text.replace(apart, together))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use tempfile::TempDir;

    use super::*;

    fn golden(variant: &str) -> std::path::PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/bert").join(variant)
    }

    fn read<T: serde::de::DeserializeOwned>(path: &Path) -> T {
        serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
    }

    /// A folder with the golden `WordPiece` tokenizer and other files of one's own.
    fn folder(files: &[(&str, Value)]) -> TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::copy(golden("wordpiece/checkpoint").join(TOKENIZER), folder.path().join(TOKENIZER)).unwrap();
        for (name, content) in files {
            fs::write(folder.path().join(name), content.to_string()).unwrap();
        }
        folder
    }

    fn open(files: &[(&str, Value)]) -> Tokenizer {
        Tokenizer::open(folder(files).path()).unwrap()
    }

    #[test]
    fn golden_ids() {
        let prompts: Vec<String> = read(&golden("prompts.json"));
        for variant in ["xlmr", "wordpiece"] {
            let tokenizer = Tokenizer::open(&golden(variant).join("checkpoint")).unwrap().truncating().unwrap();
            let ids: Vec<Vec<u32>> = read(&golden(variant).join("token_ids.json"));
            assert_eq!(prompts.len(), ids.len());
            for (prompt, ids) in prompts.iter().zip(ids) {
                assert_eq!(tokenizer.encode(prompt).unwrap(), ids, "{variant} {prompt:?}");
            }
        }
    }

    #[test]
    fn the_config_has_the_last_word_on_case() {
        let text = "Hello WORLD";
        let class = json!({"tokenizer_class": "BertTokenizer"});
        let cased = json!({"tokenizer_class": "BertTokenizerFast", "do_lower_case": false});
        let lower = open(&[("tokenizer_config.json", class)]).encode(text).unwrap();
        assert_eq!(lower, open(&[("tokenizer_config.json", cased.clone())]).encode("hello world").unwrap());
        assert_ne!(lower, open(&[("tokenizer_config.json", cased)]).encode(text).unwrap());
        let other = json!({"tokenizer_class": "PreTrainedTokenizerFast", "do_lower_case": false});
        assert_eq!(lower, open(&[("tokenizer_config.json", other)]).encode(text).unwrap());
        // Without a class, that of the model counts.
        let (model, config) = (json!({"model_type": "bert"}), json!({"do_lower_case": false}));
        assert_ne!(lower, open(&[("config.json", model), ("tokenizer_config.json", config)]).encode(text).unwrap());
    }

    #[test]
    fn tokens_of_the_config_are_added() {
        let plain = open(&[]);
        let decoder = json!({"1300": {"content": "<|x|>", "special": true}, "0": {"content": "[PAD]", "lstrip": true}});
        let config = json!({"added_tokens_decoder": decoder, "eos_token": "<|end|>", "bos_token": null});
        let tokenizer = open(&[("tokenizer_config.json", config)]);
        assert_eq!(tokenizer.len(), plain.len() + 2);
        assert_eq!(tokenizer.token_to_id("<|x|>"), Some(1200));
        assert_eq!(tokenizer.encode_with("<|x|> [PAD]<|end|>", false).unwrap(), [1200, 0, 1201]);
        let map = json!({"additional_special_tokens": ["<a>", {"content": "<b>", "lstrip": true}]});
        let tokenizer = open(&[("special_tokens_map.json", map)]);
        assert_eq!(tokenizer.encode_with("<a>  <b>", false).unwrap(), [1200, 1201]);
    }

    #[test]
    fn added_special_tokens_come_last_and_once() {
        let mut tokenizer = open(&[]);
        let before = tokenizer.len();
        assert_eq!(tokenizer.add_special_tokens(&["[[1]]", "[[2]]"]).unwrap(), 2);
        assert_eq!(tokenizer.add_special_tokens(&["[[1]]"]).unwrap(), 0);
        assert_eq!(tokenizer.encode_with("[[2]]", false).unwrap(), [before as u32 + 1]);
        assert_eq!(tokenizer.decode(&[before as u32]).unwrap(), "[[1]]");
    }

    #[test]
    fn lengths() {
        let with = |length: Value| open(&[("tokenizer_config.json", json!({"model_max_length": length}))]).truncating();
        let ids = |length| with(length).unwrap().encode("a b c d e f").unwrap().len();
        for none in [json!(1e30), serde_json::from_str("1000000000000000019884624838656").unwrap(), json!(null)] {
            assert_eq!(ids(none), 8);
        }
        for (length, expected) in [(2, 2), (3, 3), (7, 7), (8, 8), (9, 8)] {
            assert_eq!(ids(json!(length)), expected);
        }
        assert_eq!(ids(json!(5.0)), 5);
        assert_eq!(with(json!(1)).unwrap_err().kind(), Kind::Checkpoint);
        for wrong in [json!(-1), json!(2.5), json!("512")] {
            let files = folder(&[("tokenizer_config.json", json!({"model_max_length": wrong}))]);
            assert_eq!(Tokenizer::open(files.path()).unwrap_err().kind(), Kind::Checkpoint, "{wrong}");
        }
    }

    #[test]
    fn the_left_side_is_cut_where_the_config_says_so() {
        let config = json!({"model_max_length": 4, "truncation_side": "left"});
        let tokenizer = open(&[("tokenizer_config.json", config)]);
        let whole = tokenizer.encode("a b c d").unwrap();
        let cut = tokenizer.truncating().unwrap().encode("a b c d").unwrap();
        assert_eq!(cut, [whole[0], whole[3], whole[4], whole[5]]);
    }

    #[test]
    fn what_is_missing_or_broken_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let fails = || Tokenizer::open(folder.path()).unwrap_err();
        assert_eq!(fails().kind(), Kind::Missing);
        fs::write(folder.path().join("vocab.txt"), "a").unwrap();
        assert!(fails().message().contains("vocab.txt") && fails().message().contains("save_pretrained"));
        let deep = "[".repeat(1 << 20);
        for broken in ["", "{}", "[1", &deep, r#"{"model": {"type": "BPE", "vocab": {}, "merges": [["a", "b"]]}}"#] {
            fs::write(folder.path().join(TOKENIZER), broken).unwrap();
            assert_eq!(fails().kind(), Kind::Checkpoint, "{:?}", fails());
        }
        assert_eq!(Tokenizer::open(Path::new("/no/such/folder")).unwrap_err().kind(), Kind::Missing);
    }
}
