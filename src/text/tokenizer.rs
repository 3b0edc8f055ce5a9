//! A checkpoint's own `tokenizer.json`, by the tokenizers crate.

use std::path::Path;

use crate::error::{Error, Kind, Result};

/// A tokenizer as a checkpoint folder defines it.
#[derive(Debug, Clone)]
pub struct Tokenizer(tokenizers::Tokenizer);

impl Tokenizer {
    /// Reads `tokenizer.json` of a folder (or a file of that kind).
    pub fn open(path: &Path) -> Result<Self> {
        let file = if path.is_dir() { path.join("tokenizer.json") } else { path.to_path_buf() };
        let inner = tokenizers::Tokenizer::from_file(&file)
            .map_err(|e| Error::new(Kind::Checkpoint, format!("{}: {e}", file.display())))?;
        Ok(Self(inner))
    }

    /// Ids of a text, with the special tokens the tokenizer adds.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        let encoding = self.0.encode(text, true).map_err(|e| Error::value(format!("cannot tokenize: {e}")))?;
        Ok(encoding.get_ids().to_vec())
    }
}
