//! Ratings cut into tiers.

use crate::error::{Error, Result};

/// The work grows with the third power of the number of models; so many take a second or two.
const MOST_RATINGS: usize = 2_000;

/// Cuts ratings, in descending order, into `tiers` runs with the smallest sum of the runs' variances; 0 is the best.
///
/// The variances are those of whole populations, not weighted by the runs' sizes. Of equally good cuts the one that
/// begins its last run earliest is taken, then the run before it, and so on. A run but the first may be empty, so with
/// fewer ratings than tiers the best rating is in tier 0 and the others in the last ones.
///
/// Cuts that are equally good on paper are told apart by rounding, so the variances are rounded as numpy's are.
///
/// # Errors
/// `Kind::Value` for more than 2,000 ratings.
pub fn tiers(ratings: &[f64], tiers: usize) -> Result<Vec<usize>> {
    let count = ratings.len();
    if count > MOST_RATINGS {
        return Err(Error::value(format!("expected at most {MOST_RATINGS} models to cut into tiers, found {count}")));
    }
    if count == 0 || tiers == 0 {
        return Ok(vec![0; count]);
    }
    // With more runs than ratings all cuts cost nothing, whatever the number of runs.
    let columns = tiers.min(count + 1);
    let width = columns + 1;
    let mut costs = vec![f64::INFINITY; (count + 1) * width];
    let mut cuts = vec![0; (count + 1) * width];
    costs[0] = 0.0;
    let (mut variances, mut squares) = (vec![0.0; count + 1], Vec::with_capacity(count));
    for end in 1..=count {
        for start in 0..end {
            variances[start] = variance(&ratings[start..end], &mut squares);
        }
        variances[end] = 0.0;
        for run in 1..=columns {
            let mut best = f64::INFINITY;
            for start in 0..=end {
                let cost = costs[start * width + run - 1] + variances[start];
                if cost < best {
                    best = cost;
                    cuts[end * width + run] = start;
                }
            }
            costs[end * width + run] = best;
        }
    }
    let mut found = vec![0; count];
    let mut end = count;
    let mut tier = tiers - 1;
    while tier > 0 {
        let start = cuts[end * width + (tier + 1).min(columns)];
        found[start..end].fill(tier);
        // Where more runs than ratings are left, an empty one is followed by others.
        tier = if start == end { (tier - 1).min(columns) } else { tier - 1 };
        end = start;
    }
    Ok(found)
}

/// The variance of a population to the last bit of `numpy.var`.
fn variance(numbers: &[f64], squares: &mut Vec<f64>) -> f64 {
    let size = numbers.len() as f64;
    let mean = pairwise_sum(numbers) / size;
    squares.clear();
    squares.extend(numbers.iter().map(|x| (x - mean) * (x - mean)));
    pairwise_sum(squares) / size
}

/// Adds in numpy's order: one by one below 8 numbers, in eight sums up to 128, beyond them each half by itself.
fn pairwise_sum(numbers: &[f64]) -> f64 {
    const FEW: usize = 8;
    const BLOCK: usize = 128;
    if numbers.len() > BLOCK {
        let half = numbers.len() / 2;
        let (left, right) = numbers.split_at(half - half % FEW);
        return pairwise_sum(left) + pairwise_sum(right);
    }
    let (chunks, rest) = numbers.as_chunks::<FEW>();
    let mut sum = 0.0;
    if let Some((first, chunks)) = chunks.split_first() {
        let mut sums = *first;
        for chunk in chunks {
            sums.iter_mut().zip(chunk).for_each(|(sum, x)| *sum += x);
        }
        let [left, right] = [0, 4].map(|at| (sums[at] + sums[at + 1]) + (sums[at + 2] + sums[at + 3]));
        sum = left + right;
    }
    rest.iter().fold(sum, |sum, x| sum + x)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn cuts_are_the_best_of_all() {
        let ratings = [1200.0, 1190.0, 1100.0, 1090.0, 1085.0, 900.0, 899.0];
        assert_eq!(tiers(&ratings, 3).unwrap(), [0, 0, 1, 1, 1, 2, 2]);
        assert_eq!(tiers(&ratings, 1).unwrap(), [0; 7]);
        assert_eq!(tiers(&ratings, 7).unwrap(), [0, 1, 2, 3, 4, 5, 6]);
    }

    #[test]
    fn more_tiers_than_ratings_leave_the_first_ones_out() {
        assert_eq!(tiers(&[3.0, 2.0, 1.0], 5).unwrap(), [0, 3, 4]);
        assert_eq!(tiers(&[3.0], 4).unwrap(), [0]);
        assert_eq!(tiers(&[3.0, 2.0], 1_000_000_000).unwrap(), [0, 999_999_999]);
        assert!(tiers(&[], 3).unwrap().is_empty());
        assert!(tiers(&vec![1.0; MOST_RATINGS + 1], 3).is_err());
        assert_eq!(tiers(&[9.0, 5.0, 5.0], 5).unwrap(), [0, 4, 4]);
    }

    #[test]
    fn equally_good_cuts_are_told_apart_as_in_numpy() {
        assert_eq!(tiers(&[5.0, 5.0, 5.0, 4.0, 3.0, 3.0, 3.0, 1.0], 3).unwrap(), [0, 0, 0, 1, 1, 1, 1, 2]);
    }
}
