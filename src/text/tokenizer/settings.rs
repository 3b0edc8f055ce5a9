//! What the files beside `tokenizer.json` change about it.

use std::fs;
use std::io::Read as _;
use std::path::Path;

use serde_json::{Map, Value};
use tokenizers::{AddedToken, TruncationDirection};

use crate::error::{Error, Kind, Result};

/// Above this, `model_max_length` means that there is no limit; transformers writes 1e30 for "none".
const NO_LIMIT: f64 = 1e20;

/// Largest of these files that is read.
const LARGEST: u64 = 64 << 20;

/// Tokenizer classes of transformers that change what `tokenizer.json` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    Bert,
    Roberta,
    XlmRoberta,
    Llama,
    Other,
}

/// A token that has a role (`cls_token` and so on).
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Named {
    pub(super) token: AddedToken,
    /// Given with all its properties, so that they replace the ones in `tokenizer.json`.
    pub(super) exact: bool,
}

#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is an entry of a file")]
pub(super) struct Settings {
    pub(super) class: Class,
    pub(super) max_length: Option<usize>,
    pub(super) direction: Option<TruncationDirection>,
    /// In order of their ids.
    pub(super) added: Vec<AddedToken>,
    pub(super) named: Vec<Named>,
    pub(super) lowercase: bool,
    pub(super) strip_accents: Option<bool>,
    pub(super) chinese: bool,
    pub(super) prefix_space: bool,
    pub(super) split_special: bool,
    pub(super) clean_up: bool,
    /// Tokens that Llama's class puts before and after a text.
    pub(super) before: Option<String>,
    pub(super) after: Option<String>,
}

const ROLES: [&str; 7] = ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"];

impl Class {
    fn find(config: &Map<String, Value>, model: &Map<String, Value>) -> Self {
        let named = [config, model].into_iter().find_map(|file| file.get("tokenizer_class")?.as_str());
        let by_class = |name: &str| match name.strip_suffix("Fast").unwrap_or(name) {
            "BertTokenizer" | "DistilBertTokenizer" | "ElectraTokenizer" | "MobileBertTokenizer" => Self::Bert,
            "RobertaTokenizer" => Self::Roberta,
            "XLMRobertaTokenizer" => Self::XlmRoberta,
            "LlamaTokenizer" => Self::Llama,
            _ => Self::Other,
        };
        let by_model = || match model.get("model_type").and_then(Value::as_str) {
            Some("bert") => Self::Bert,
            Some("roberta") => Self::Roberta,
            Some("xlm-roberta") => Self::XlmRoberta,
            Some("llama") => Self::Llama,
            _ => Self::Other,
        };
        named.map_or_else(by_model, by_class)
    }

    /// The token a role has where no file says anything.
    fn default_token(self, role: &str) -> Option<&'static str> {
        let bert = ["", "", "[UNK]", "[SEP]", "[PAD]", "[CLS]", "[MASK]"];
        let roberta = ["<s>", "</s>", "<unk>", "</s>", "<pad>", "<s>", "<mask>"];
        let llama = ["<s>", "</s>", "<unk>", "", "", "", ""];
        let tokens = match self {
            Self::Bert => bert,
            Self::Roberta | Self::XlmRoberta => roberta,
            Self::Llama => llama,
            Self::Other => return None,
        };
        let (_, token) = ROLES.into_iter().zip(tokens).find(|&(known, _)| known == role)?;
        Some(token).filter(|token| !token.is_empty())
    }
}

impl Settings {
    /// Reads `tokenizer_config.json`, `special_tokens_map.json` and `config.json` of a folder, as far as they are there.
    pub(super) fn read(folder: &Path) -> Result<Self> {
        let mut config = object(folder, "tokenizer_config.json")?;
        let model = object(folder, "config.json")?;
        let wrong = |what: String| {
            let file = folder.join("tokenizer_config.json");
            Error::new(Kind::Checkpoint, format!("{}: {what}", file.display()))
        };
        let class = Class::find(&config, &model);
        let added = added(&config).map_err(wrong)?;
        if !config.contains_key("added_tokens_decoder") {
            // Files of before that list existed say it here, and here it counts more.
            config.extend(object(folder, "special_tokens_map.json")?);
        }
        let named = named(&config, class).map_err(wrong)?;
        let flag = |name: &str, default| config.get(name).and_then(Value::as_bool).unwrap_or(default);
        let role = |role: &str| role_token(&config, class, role).ok().flatten().map(|named| named.token.content);
        Ok(Self {
            class,
            max_length: max_length(&config).map_err(wrong)?,
            direction: match config.get("truncation_side").and_then(Value::as_str) {
                Some("left") => Some(TruncationDirection::Left),
                Some("right") => Some(TruncationDirection::Right),
                _ => None,
            },
            added,
            named,
            lowercase: flag("do_lower_case", true),
            strip_accents: config.get("strip_accents").and_then(Value::as_bool),
            chinese: flag("tokenize_chinese_chars", true),
            prefix_space: flag("add_prefix_space", false),
            split_special: flag("split_special_tokens", false),
            clean_up: flag("clean_up_tokenization_spaces", true),
            before: if flag("add_bos_token", true) { role("bos_token") } else { None },
            after: if flag("add_eos_token", false) { role("eos_token") } else { None },
        })
    }
}

/// The object in a file; an absent file is an empty one.
fn object(folder: &Path, name: &str) -> Result<Map<String, Value>> {
    let path = folder.join(name);
    if !path.is_file() {
        return Ok(Map::new());
    }
    let unreadable = |e: std::io::Error| Error::new(Kind::Io, format!("cannot read {}: {e}", path.display()));
    let mut text = String::new();
    fs::File::open(&path).and_then(|file| file.take(LARGEST).read_to_string(&mut text)).map_err(unreadable)?;
    serde_json::from_str(&text)
        .map_err(|e| Error::new(Kind::Checkpoint, format!("{}: expected a JSON object: {e}", path.display())))
}

fn max_length(config: &Map<String, Value>) -> Result<Option<usize>, String> {
    let Some(value) = config.get("model_max_length").filter(|value| !value.is_null()) else { return Ok(None) };
    let wrong = || format!("model_max_length: expected a whole number of at least 0, found {value}");
    let length = value.as_f64().ok_or_else(wrong)?;
    if length > NO_LIMIT {
        return Ok(None);
    }
    if length < 0.0 || length.fract() != 0.0 {
        return Err(wrong());
    }
    Ok(Some(length as usize))
}

/// `added_tokens_decoder`: id -> token. The ids are those the tokens get anyway: they only give the order.
fn added(config: &Map<String, Value>) -> Result<Vec<AddedToken>, String> {
    let Some(decoder) = config.get("added_tokens_decoder").filter(|value| !value.is_null()) else {
        return Ok(Vec::new());
    };
    let wrong = |what: String| format!("added_tokens_decoder: {what}");
    let decoder = decoder.as_object().ok_or_else(|| wrong(format!("expected an object, found {}", kind(decoder))))?;
    let mut tokens = Vec::with_capacity(decoder.len());
    for (id, value) in decoder {
        let number: u32 = id.parse().map_err(|_| wrong(format!("expected ids as names, found {id:?}")))?;
        tokens.push((number, token(value).ok_or_else(|| wrong(format!("the token of id {id} has no content")))?));
    }
    tokens.sort_by_key(|(id, _)| *id);
    Ok(tokens.into_iter().map(|(_, token)| token).collect())
}

fn named(config: &Map<String, Value>, class: Class) -> Result<Vec<Named>, String> {
    let mut named = Vec::new();
    for role in ROLES {
        named.extend(role_token(config, class, role)?);
    }
    for list in ["additional_special_tokens", "extra_special_tokens"] {
        for value in config.get(list).and_then(Value::as_array).into_iter().flatten() {
            named.push(special(value).ok_or_else(|| format!("{list}: expected tokens, found {}", kind(value)))?);
        }
    }
    Ok(named)
}

fn role_token(config: &Map<String, Value>, class: Class, role: &str) -> Result<Option<Named>, String> {
    let mut token = match config.get(role) {
        Some(Value::Null) => return Ok(None),
        Some(value) => special(value).ok_or_else(|| format!("{role}: expected a token, found {}", kind(value)))?,
        None => match class.default_token(role) {
            Some(content) => Named { token: AddedToken::from(content, true), exact: false },
            None => return Ok(None),
        },
    };
    if role == "mask_token" && !token.exact && matches!(class, Class::Roberta | Class::XlmRoberta) {
        // These classes take the white space before their mask with it.
        token = Named { token: token.token.lstrip(true), exact: true };
    }
    Ok(Some(token))
}

/// A special token, given by its text or with its properties.
fn special(value: &Value) -> Option<Named> {
    match value {
        Value::String(content) => Some(Named { token: AddedToken::from(content.clone(), true), exact: false }),
        value => token(value).map(|token| Named { token: token.special(true), exact: true }),
    }
}

fn token(value: &Value) -> Option<AddedToken> {
    let content = value.get("content")?.as_str()?;
    let flag = |name: &str, default| value.get(name).and_then(Value::as_bool).unwrap_or(default);
    let special = flag("special", false);
    Some(AddedToken {
        content: content.to_owned(),
        single_word: flag("single_word", false),
        lstrip: flag("lstrip", false),
        rstrip: flag("rstrip", false),
        normalized: flag("normalized", !special),
        special,
    })
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a bool",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
