//! Text in: `WordPiece` ids, lexical features, the embedded table, and what joins them.

pub mod featuriser;
pub mod language;
pub mod lexical;
pub mod table;
pub mod tokenizer;
pub mod vocabulary;
pub mod wordpiece;
