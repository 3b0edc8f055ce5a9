//! Bets against "the mean is at least so much" for several thresholds at once.

use crate::math::betting::horizon::{ABREAST, Bets, Row};

/// What the first guess of a variance is, as a part of the largest possible one.
const GUESS: f64 = 0.1;

/// How many rows' worth of evidence a judge needs before he is listened to.
const DOUBT: f64 = 10.0;

/// After how many rows it is looked whether there is anything left to win.
const PAUSE: usize = 64;

/// Rows in the order of betting. The order is drawn, so it says nothing about the numbers.
#[derive(Debug, Clone)]
pub(super) struct Game {
    /// Scores, as the thresholds see them.
    pub rates: Vec<f64>,
    /// What a row comes to where it is below the threshold, i.e. weak.
    pub below: Vec<f64>,
    /// And where it is not.
    pub above: Vec<f64>,
    /// The range of both.
    pub low: f64,
    /// The range's upper end.
    pub high: f64,
    /// The mean is over the rows below the threshold, not over all.
    pub among_below: bool,
    /// What may go wrong: the level of each test.
    pub delta: f64,
    /// Rows of which only a judge's opinion is known.
    pub judged: Option<Judged>,
}

/// A judge's opinions, beside the truth of the game's own rows (prediction-powered inference, Angelopoulos et al. 2023,
/// arXiv:2301.09633).
///
/// Each row whose truth is known gets a group of rows for which the judge alone has spoken. The judge's opinion of the
/// row less the group's mean is 0 on average, however wrong he is, so a part of it may be taken off the truth: where he
/// is often right the difference varies less. How large a part is learned from the rows before.
#[derive(Debug, Clone)]
pub(super) struct Judged {
    /// His opinion of the game's own rows.
    pub own: Vec<f64>,
    /// Scores of the other rows.
    pub rates: Vec<f64>,
    /// His opinion of them.
    pub opinions: Vec<f64>,
}

impl Game {
    /// For each pair of a cut (rows with scores up to it are below) and a mean: whether "the mean is at least that" is
    /// refuted. Means must lie inside of the range.
    pub(super) fn refuted(&self, cuts: &Row, means: &Row) -> Row<bool> {
        let all = self.rates.len() as f64;
        let steps = if self.among_below { cuts.map(|cut| self.up_to(cut) as f64) } else { [all; ABREAST] };
        let guess = means.map(|mean| GUESS * (mean - self.low) * (self.high - mean));
        let mut bets = Bets::new(self.delta, steps, guess);
        match &self.judged {
            None => self.play(&mut bets, cuts, means),
            Some(judged) => self.play_corrected(&mut bets, cuts, means, judged),
        }
        bets.won()
    }

    /// How many rows have scores up to the cut.
    pub(super) fn up_to(&self, cut: f64) -> usize {
        self.rates.iter().filter(|&&rate| rate <= cut).count()
    }

    fn play(&self, bets: &mut Bets, cuts: &Row, means: &Row) {
        let least = means.map(|mean| mean - self.high);
        let mut wins = [0.0; ABREAST];
        let mut plays = [true; ABREAST];
        let rows = self.rates.iter().zip(&self.below).zip(&self.above);
        for (row, ((&rate, &below), &above)) in rows.enumerate() {
            if row % PAUSE == 0 && bets.have_all_won() {
                return;
            }
            for i in 0..ABREAST {
                let is_below = rate <= cuts[i];
                wins[i] = means[i] - if is_below { below } else { above };
                plays[i] = is_below || !self.among_below;
            }
            bets.push(&wins, &least, &plays);
        }
    }

    fn play_corrected(&self, bets: &mut Bets, cuts: &Row, means: &Row, judged: &Judged) {
        let (rows, others) = (self.rates.len(), judged.rates.len());
        let width = self.high - self.low;
        let most = trusted(rows, width);
        let mut together = [0.0; ABREAST];
        let mut squares = [DOUBT * GUESS * width * width / 4.0; ABREAST];
        let (mut wins, mut least, mut plays) = ([0.0; ABREAST], [0.0; ABREAST], [true; ABREAST]);
        for row in 0..rows {
            let group = row * others / rows..(row + 1) * others / rows;
            let means_of_group = self.group_means(&judged.rates[group.clone()], &judged.opinions[group], cuts);
            for i in 0..ABREAST {
                let is_below = self.rates[row] <= cuts[i];
                plays[i] = is_below || !self.among_below;
                let truth = if is_below { self.below[row] } else { self.above[row] };
                let opinion = if is_below { judged.own[row] } else { self.above[row] };
                let off = means_of_group[i].map_or(0.0, |mean| opinion - mean);
                let part = (together[i] / squares[i]).clamp(0.0, most);
                wins[i] = means[i] - (truth - part * off);
                least[i] = means[i] - (self.high + part * width);
                if plays[i] {
                    together[i] += truth * off;
                    squares[i] += off * off;
                }
            }
            bets.push(&wins, &least, &plays);
        }
    }

    /// The mean opinion on a group's rows; none where no row counts.
    fn group_means(&self, rates: &[f64], opinions: &[f64], cuts: &Row) -> [Option<f64>; ABREAST] {
        cuts.map(|cut| {
            let (mut sum, mut count) = (0.0, 0.0);
            for (&rate, &opinion) in rates.iter().zip(opinions) {
                if rate <= cut {
                    sum += opinion;
                    count += 1.0;
                } else if !self.among_below {
                    count += 1.0;
                }
            }
            (count > 0.0).then(|| sum / count)
        })
    }
}

/// The largest part of a judge's opinion that is used beside so many true labels.
///
/// It widens the range of what a row may come to, and so narrows the stakes: with few labels that costs more than the
/// lower variance brings.
fn trusted(rows: usize, width: f64) -> f64 {
    (((rows as f64).sqrt() / 8.0 - 1.0) / width).clamp(0.0, 1.0)
}
