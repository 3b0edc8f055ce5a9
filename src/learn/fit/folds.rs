//! Which rows are held out together.

use crate::error::{Error, Result};
use crate::learn::noise::Key;

/// The fold of each row, `0..folds`; rows of one unit share theirs, and folds are as equal as units allow.
///
/// # Errors
/// [`Kind::Value`](crate::Kind::Value) for fewer than two folds or fewer units than folds.
pub fn assign(units: &[u32], folds: usize, seed: u64) -> Result<Vec<u32>> {
    if let Some(beyond) = units.iter().find(|&&unit| unit as usize >= units.len()) {
        return Err(Error::value(format!("expected units below {}, the number of rows; found {beyond}", units.len())));
    }
    let count = units.iter().max().map_or(0, |&unit| unit as usize + 1);
    if folds < 2 || folds > count {
        return Err(Error::value(format!("folds: expected 2 to {count}, the number of groups, found {folds}")));
    }
    let mut sizes = vec![0_usize; count];
    for &unit in units {
        sizes[unit as usize] += 1;
    }
    let mut order = Key::new(seed).shuffled(count);
    order.sort_by_key(|&unit| std::cmp::Reverse(sizes[unit]));
    let (mut filled, mut fold_of) = (vec![0_usize; folds], vec![0_u32; count]);
    for unit in order {
        let fold = (0..folds).min_by_key(|&fold| filled[fold]).unwrap_or_default();
        filled[fold] += sizes[unit];
        fold_of[unit] = fold as u32;
    }
    Ok(units.iter().map(|&unit| fold_of[unit as usize]).collect())
}

/// The rows of each unit that are among the given ones.
pub(super) fn by_unit(units: &[u32], rows: &[u32]) -> Vec<Vec<u32>> {
    let count = units.iter().max().map_or(0, |&unit| unit as usize + 1);
    let mut found = vec![Vec::new(); count];
    for &row in rows {
        found[units[row as usize] as usize].push(row);
    }
    found.retain(|rows| !rows.is_empty());
    found
}
