//! Text in: WordPiece ids, lexical features, the embedded table.

pub mod lexical;
pub mod table;
pub mod wordpiece;
