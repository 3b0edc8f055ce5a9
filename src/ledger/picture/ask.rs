//! Pictures of a book, wherever it is kept.

use crate::error::Result;

use super::super::spend::Filter;
use super::super::{ASKING, Ledger, lock, score};
use super::{Adding, Picture, Row, Span};

impl Ledger {
    /// The sums of a span, over its last `most` calls ([`MOST`](super::MOST) is what a page may ask for every few seconds).
    /// What the store has refused so far is missing; a book in memory has no more than it remembers.
    ///
    /// # Errors
    /// [`Kind::Io`](crate::Kind::Io) when the store cannot be read, or does not answer within half a minute.
    pub fn picture(&self, span: Span, most: u32) -> Result<Picture> {
        let shared = self.book.shared()?;
        _ = shared.flush(ASKING, false);
        if !self.is_in_memory() {
            return self.ask(|store| store.picture(span, most));
        }
        let filter = Filter { since_us: Some(span.since), until_us: Some(span.until), ..Filter::default() };
        let mut adding = Adding::new(span);
        // The copy is short; adding it up would keep the writer waiting.
        let (rows, scores, forgotten) = {
            let memory = lock(&shared.memory);
            (memory.rows(&filter), memory.scored(&filter), memory.missing(&filter))
        };
        for row in &rows {
            adding.call(row);
        }
        for scored in &score::latest(scores) {
            adding.score(scored);
        }
        Ok(Picture { forgotten, ..adding.picture() })
    }

    /// The last calls a filter takes, the latest first, without their features; their texts, where they were kept, unless
    /// the filter is bare.
    ///
    /// # Errors
    /// As for [`picture`](Self::picture).
    pub fn recent(&self, filter: &Filter, most: u32) -> Result<Vec<Row>> {
        let shared = self.book.shared()?;
        _ = shared.flush(ASKING, false);
        if !self.is_in_memory() {
            return self.ask(|store| store.recent(filter, most));
        }
        let mut rows = lock(&shared.memory).rows(filter);
        rows.sort_by_key(|row| std::cmp::Reverse((row.ts, row.id)));
        rows.truncate(most as usize);
        for row in &mut rows {
            row.features = None;
            row.text = row.text.take().filter(|_| !filter.bare);
        }
        Ok(rows)
    }
}
