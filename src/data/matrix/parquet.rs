//! A column of lists of float or double in Parquet: the leaf's values with their levels, row group by row group.

use std::fs::File;
use std::path::Path;

use parquet::basic::Type as Physical;
use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::{DataType, DoubleType, FloatType};

use super::{Layout, choose, most_numbers, opened, wrong_count, wrong_width};
use crate::data::pages::{Source, guarded};
use crate::error::{Error, Result};

/// Values decoded at a time, about: their levels and they themselves stay in the second cache.
const STEP: usize = 1 << 15;

/// A column of lists.
pub(super) struct Lists {
    /// Number of the leaf in the schema.
    leaf: usize,
    /// Definition level of a value that is there.
    present: i16,
    /// Rows of each row group.
    groups: Vec<usize>,
    cols: usize,
    /// The most values that any page of a file of this size may hold.
    most: usize,
    /// The most bytes that one may take.
    page: u64,
}

/// Programs that write embeddings choose large pages; what is in them hardly compresses.
fn largest_page(bytes: u64) -> u64 {
    bytes.saturating_mul(4)
}

impl Lists {
    pub(super) fn open(file: File, bytes: u64, column: Option<&str>) -> Result<Self> {
        let source = Source::with_pages_of(file, largest_page(bytes))?;
        let schema = source.schema();
        let leaves: Vec<_> = (0..schema.num_columns()).map(|index| schema.column(index)).collect();
        let is_list = |index: &usize| {
            let leaf = &leaves[*index];
            let number = matches!(leaf.physical_type(), Physical::FLOAT | Physical::DOUBLE);
            number && leaf.max_rep_level() == 1 && leaf.path().parts().len() <= 3
        };
        let name = |index: usize| leaves[index].path().parts().first().map_or("", String::as_str);
        let lists: Vec<usize> = (0..leaves.len()).filter(is_list).collect();
        let all: Vec<&str> = (0..leaves.len()).map(name).collect();
        let chosen = choose(&lists.iter().map(|&index| name(index)).collect::<Vec<_>>(), &all, column)?;
        let leaf = lists.into_iter().find(|&index| name(index) == chosen).unwrap_or_default();
        let present = leaves[leaf].max_def_level();
        let groups = (0..source.groups()).map(|group| usize::try_from(source.rows(group)).unwrap_or(usize::MAX));
        let groups: Vec<usize> = groups.collect();
        let mut found = Self { leaf, present, groups, cols: 0, most: most_numbers(bytes), page: largest_page(bytes) };
        if let Some(group) = found.groups.iter().position(|&rows| rows > 0) {
            found.cols = found.first_width(&source, group)?;
        }
        Ok(found)
    }

    /// Numbers in the first row of a group.
    fn first_width(&self, source: &Source, group: usize) -> Result<usize> {
        fn width<T: DataType>(mut reader: ColumnReaderImpl<T>, present: i16) -> Result<usize> {
            let (mut def, mut rep, mut values) = (Vec::new(), Vec::new(), Vec::new());
            guarded(|| reader.read_records(1, Some(&mut def), Some(&mut rep), &mut values))?;
            if def.iter().all(|&level| level == present) {
                return Ok(values.len());
            }
            Err(Error::value("row 1: expected a list of numbers, found a null or an empty list"))
        }
        match source.column(group, self.leaf, self.most)? {
            ColumnReader::FloatColumnReader(reader) => width(reader, self.present),
            ColumnReader::DoubleColumnReader(reader) => width(reader, self.present),
            _ => Err(Error::value("the column does not hold numbers in every row group")),
        }
    }

    fn group(&self, path: &Path, group: usize, first: usize, cols: usize, out: &mut [f32]) -> Result<()> {
        // Opened anew: the cursor of a file is shared by all its handles.
        let source = Source::with_pages_of(opened(path)?.0, self.page)?;
        let decode = Decode { present: self.present, first, cols };
        match source.column(group, self.leaf, self.most)? {
            ColumnReader::FloatColumnReader(reader) => decode.all::<FloatType>(reader, out, |x| x),
            ColumnReader::DoubleColumnReader(reader) => decode.all::<DoubleType>(reader, out, |x| x as f32),
            _ => Err(Error::value("the column does not hold numbers in every row group")),
        }
    }
}

struct Decode {
    present: i16,
    first: usize,
    cols: usize,
}

impl Decode {
    fn all<T: DataType>(
        &self,
        mut reader: ColumnReaderImpl<T>,
        out: &mut [f32],
        narrow: impl Fn(T::T) -> f32 + Copy,
    ) -> Result<()>
    where
        T::T: Copy,
    {
        let step = (STEP / self.cols.max(1)).max(1);
        let (mut def, mut rep, mut values) = (Vec::new(), Vec::new(), Vec::new());
        let (mut rest, mut row) = (out, self.first);
        loop {
            def.clear();
            rep.clear();
            values.clear();
            let (rows, ..) = guarded(|| reader.read_records(step, Some(&mut def), Some(&mut rep), &mut values))?;
            if rows == 0 {
                break;
            }
            self.check(row, rows, &def, &rep)?;
            if values.len() != rows * self.cols || values.len() > rest.len() {
                return Err(wrong_count(self.first));
            }
            let (part, after) = std::mem::take(&mut rest).split_at_mut(values.len());
            part.iter_mut().zip(&values).for_each(|(slot, &value)| *slot = narrow(value));
            (rest, row) = (after, row + rows);
        }
        if rest.is_empty() { Ok(()) } else { Err(wrong_count(self.first)) }
    }

    /// Every value is there, and a row begins (repetition level 0) with each `cols`-th one and no other.
    fn check(&self, row: usize, rows: usize, def: &[i16], rep: &[i16]) -> Result<()> {
        // Differences gathered bit by bit: a loop without branches runs over many levels at a time.
        let all = |levels: &[i16], wanted: i16| levels.iter().fold(0, |bits, &level| bits | (level ^ wanted)) == 0;
        let regular = |row: &[i16]| row[0] == 0 && all(&row[1..], 1);
        if all(def, self.present) && rep.len() == rows * self.cols && rep.chunks_exact(self.cols).all(regular) {
            return Ok(());
        }
        // Something is wrong: find out where.
        let mut row = row;
        let mut width = 0;
        for (at, (&def, &rep)) in def.iter().zip(rep).enumerate() {
            if rep == 0 && at > 0 {
                if width != self.cols {
                    return Err(wrong_width(row + 1, width, self.cols));
                }
                (row, width) = (row + 1, 0);
            }
            if def != self.present {
                return Err(wrong_width(row + 1, "a null or an empty list", self.cols));
            }
            width += 1;
        }
        Err(wrong_width(row + 1, width, self.cols))
    }
}

impl Layout for Lists {
    fn pieces(&self) -> Vec<usize> {
        self.groups.clone()
    }

    fn cols(&self) -> usize {
        self.cols
    }

    fn read(&self, path: &Path, piece: usize, first: usize, cols: usize, out: &mut [f32]) -> Result<()> {
        if out.is_empty() {
            return Ok(());
        }
        self.group(path, piece, first, cols, out).map_err(|error| error.context(path.display()))
    }
}
