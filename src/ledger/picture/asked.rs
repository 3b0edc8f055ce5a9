//! What pictures need of a database.

use crate::error::Error;

use super::super::row::Row;
use super::super::spend::Filter;
use super::{Picture, Span};

/// A connection that can be asked for pictures.
pub(in crate::ledger) trait Pictures {
    /// The sums of a span, over at most so many calls.
    fn picture(&mut self, span: Span, most: u32) -> Result<Picture, Error>;

    /// The last calls a filter takes, the latest first; with their texts unless the filter is bare.
    fn recent(&mut self, filter: &Filter, most: u32) -> Result<Vec<Row>, Error>;
}
