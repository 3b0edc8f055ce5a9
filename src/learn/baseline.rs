//! What one knows without reading the prompt: each model's strength alone.

use super::Watch;
use super::battles::Battle;
use crate::error::Result;

/// Battles that each model is taken to have won, and lost, against an average model beside its own.
const PRIOR: f64 = 1.0;

/// Strengths of a Bradley-Terry model (Hunter 2004, algorithm MM), with a weak prior that keeps them finite.
pub(super) fn strengths(battles: &[Battle], models: usize, watch: Watch) -> Result<Vec<f64>> {
    let mut wins = vec![PRIOR; models];
    let mut meetings = std::collections::BTreeMap::<(usize, usize), f64>::new();
    for &Battle { winner, loser, .. } in battles {
        wins[winner] += 1.0;
        *meetings.entry((winner.min(loser), winner.max(loser))).or_default() += 1.0;
    }
    let mut strengths = vec![1.0; models];
    for _ in 0..500 {
        watch(0)?;
        // Against the average model, whose strength is 1.
        let mut sums: Vec<f64> = strengths.iter().map(|strength| 2.0 * PRIOR / (strength + 1.0)).collect();
        for (&(a, b), count) in &meetings {
            let part = count / (strengths[a] + strengths[b]);
            sums[a] += part;
            sums[b] += part;
        }
        let next: Vec<f64> = wins.iter().zip(&sums).map(|(wins, sum)| wins / sum).collect();
        let moved = next.iter().zip(&strengths).map(|(new, old): (&f64, &f64)| (new / old - 1.0).abs());
        let largest = moved.fold(0.0, f64::max);
        strengths = next;
        if largest < 1e-9 {
            break;
        }
    }
    Ok(strengths)
}

/// Mean loss and number of battles called right by strengths alone.
pub(super) fn judge(strengths: &[f64], battles: &[Battle]) -> (f64, usize) {
    let mut loss = 0.0;
    let mut right = 0;
    for battle in battles {
        let (winner, loser) = (strengths[battle.winner], strengths[battle.loser]);
        loss -= (winner / (winner + loser)).ln();
        right += usize::from(winner > loser);
    }
    (loss / battles.len().max(1) as f64, right)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strengths_follow_the_wins() {
        let battle = |winner, loser| Battle { winner, loser, prompt: 0 };
        let mut battles = vec![battle(0, 1); 300];
        battles.extend(vec![battle(1, 0); 100]);
        battles.extend(vec![battle(1, 2); 50]);
        let found = strengths(&battles, 4, &mut |_| Ok(())).unwrap();
        assert!((found[0] / found[1] - 3.0).abs() < 0.05, "{found:?}");
        assert!(found[1] > 10.0 * found[2] && found[2] > 0.0);
        assert!((found[3] - 1.0).abs() < 1e-9);
        let (loss, right) = judge(&found, &battles[..400]);
        let exact = -(0.75 * 0.75_f64.ln() + 0.25 * 0.25_f64.ln());
        assert!((loss - exact).abs() < 1e-3, "{loss}");
        assert_eq!(right, 300);
    }
}
