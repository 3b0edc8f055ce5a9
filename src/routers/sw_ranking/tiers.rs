//! Ratings cut into tiers.

/// Cuts ratings, in descending order, into `tiers` runs with the smallest sum of the runs' variances; 0 is the best.
///
/// The variances are those of whole populations, not weighted by the runs' sizes. Of equally good cuts the one that
/// begins its last run earliest is taken, then the run before it, and so on. A run but the first may be empty, so with
/// fewer ratings than tiers the best rating is in tier 0 and the others in the last ones.
pub fn tiers(ratings: &[f64], tiers: usize) -> Vec<usize> {
    let count = ratings.len();
    if count == 0 || tiers == 0 {
        return vec![0; count];
    }
    // With more runs than ratings all cuts cost nothing, whatever the number of runs.
    let columns = tiers.min(count + 1);
    let width = columns + 1;
    let mut costs = vec![f64::INFINITY; (count + 1) * width];
    let mut cuts = vec![0; (count + 1) * width];
    costs[0] = 0.0;
    let mut variances = vec![0.0; count + 1];
    for end in 1..=count {
        let (mut mean, mut squares) = (0.0, 0.0);
        for start in (0..end).rev() {
            let size = (end - start) as f64;
            let away = ratings[start] - mean;
            mean += away / size;
            squares += away * (ratings[start] - mean);
            variances[start] = squares / size;
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
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cuts_are_the_best_of_all() {
        let ratings = [1200.0, 1190.0, 1100.0, 1090.0, 1085.0, 900.0, 899.0];
        assert_eq!(tiers(&ratings, 3), [0, 0, 1, 1, 1, 2, 2]);
        assert_eq!(tiers(&ratings, 1), [0; 7]);
        assert_eq!(tiers(&ratings, 7), [0, 1, 2, 3, 4, 5, 6]);
    }

    #[test]
    fn more_tiers_than_ratings_leave_the_first_ones_out() {
        assert_eq!(tiers(&[3.0, 2.0, 1.0], 5), [0, 3, 4]);
        assert_eq!(tiers(&[3.0], 4), [0]);
        assert_eq!(tiers(&[3.0, 2.0], 1_000_000_000), [0, 999_999_999]);
        assert!(tiers(&[], 3).is_empty());
        assert_eq!(tiers(&[9.0, 5.0, 5.0], 5), [0, 4, 4]);
    }
}
