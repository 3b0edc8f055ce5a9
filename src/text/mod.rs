//! Text in: `WordPiece` ids, lexical features, the embedded table, what joins them, and the view of a request.

pub mod again;
pub mod declines;
pub mod featuriser;
pub mod language;
pub mod lexical;
pub mod table;
pub mod tokenizer;
pub mod tokens;
pub mod view;
pub mod vocabulary;
pub mod wordpiece;
