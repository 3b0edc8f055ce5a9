//! Attention of a decoder: a token sees itself and those before it, which are kept from one pass to the next.

use super::super::crew::{Crew, Pointer};
use super::super::kernels::{BEST, Kernels};
use super::super::ops::Rotary;
use super::super::tiles::PANEL;
use super::{Head, Scratch, block};

/// The heads of a decoder's layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heads {
    /// Heads that ask; a multiple of `keys`.
    pub queries: usize,
    /// Heads that hold keys and values, each for `queries / keys` asking heads that follow each other.
    pub keys: usize,
    /// Numbers in a head.
    pub width: usize,
}

impl Heads {
    /// Width of a row of queries, keys and values side by side.
    pub fn qkv(self) -> usize {
        (self.queries + 2 * self.keys) * self.width
    }

    /// Width of a row that comes out.
    pub fn out(self) -> usize {
        self.queries * self.width
    }
}

/// Keys (turned) and values of the tokens that one layer has seen of one sequence.
#[derive(Debug, Clone)]
pub struct Cache {
    heads: Vec<Head>,
    width: usize,
    len: usize,
}

impl Cache {
    /// An empty one.
    pub fn new(heads: Heads) -> Self {
        Self { heads: vec![Head::new(heads.width); heads.keys], width: heads.width, len: 0 }
    }

    /// Tokens held.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether none is held.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Forgets all but the first `len` tokens.
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
        self.heads.iter_mut().for_each(|head| head.truncate(self.len, self.width));
    }
}

/// New rows of one sequence.
#[derive(Debug)]
pub struct Part<'a> {
    /// How many rows are its.
    pub rows: usize,
    /// What it begins with, shared by several sequences and not changed.
    pub prefix: Option<&'a Cache>,
    /// What came after that; the new rows are added to it.
    pub cache: &'a mut Cache,
}

impl Part<'_> {
    /// Position of its first new row.
    pub fn position(&self) -> usize {
        self.prefix.map_or(0, Cache::len) + self.cache.len()
    }
}

/// Blocks of rows that a task of [`decoder`] takes.
const BLOCKS: usize = 8;

/// Attention of a decoder: a token sees itself and those before it.
///
/// `qkv` is `[rows, heads.qkv()]`, the rows of the parts after each other, not turned yet; `rotary` holds all their
/// positions. `out` is `[rows, heads.out()]`. The result of a row depends neither on the other parts nor on how the
/// tokens before it are divided between prefix, cache and new rows.
///
/// # Panics
/// If lengths do not fit each other.
pub fn decoder(crew: &Crew, heads: Heads, rotary: &Rotary, qkv: &[f32], parts: &mut [Part], out: &mut [f32]) {
    decoder_with(*BEST, crew, heads, rotary, qkv, parts, out);
}

fn decoder_with(
    kernels: &Kernels,
    crew: &Crew,
    heads: Heads,
    rotary: &Rotary,
    qkv: &[f32],
    parts: &mut [Part],
    out: &mut [f32],
) {
    let Heads { queries, keys, width } = heads;
    let rows: usize = parts.iter().map(|part| part.rows).sum();
    assert!(
        qkv.len() == rows * heads.qkv() && out.len() == rows * heads.out(),
        "qkv and out have the rows of the parts"
    );
    assert!(keys > 0 && queries.is_multiple_of(keys), "each head of keys has as many queries");
    for part in &*parts {
        let fits = |cache: &Cache| cache.width == width && cache.heads.len() == keys;
        assert!(fits(part.cache) && part.prefix.is_none_or(fits), "caches are of these heads");
        assert!(part.position() + part.rows <= rotary.positions(), "a turn for each position");
    }
    if width == 0 {
        return;
    }
    // Where each part begins: its first row among all, and that row's position.
    let mut next = 0;
    let begins: Vec<(usize, usize)> = parts
        .iter()
        .map(|part| {
            let first = next;
            next += part.rows;
            (first, part.position())
        })
        .collect();
    add_rows(crew, heads, rotary, qkv, parts, &begins);

    // A query head's rows and its neighbours' that share the keys go through together: first all heads of a row.
    let group = queries / keys;
    let task_rows = BLOCKS * kernels.single.len();
    let tasks: Vec<(usize, usize, usize)> = (0..parts.len())
        .flat_map(|part| (0..keys).map(move |head| (part, head)))
        .flat_map(|(part, head)| (0..parts[part].rows * group).step_by(task_rows).map(move |row| (part, head, row)))
        .collect();
    let (parts, out) = (&*parts, Pointer(out.as_mut_ptr()));
    let shared: Vec<(Option<&Cache>, &Cache)> = parts.iter().map(|part| (part.prefix, &*part.cache)).collect();
    let scale = 1.0 / (width as f32).sqrt();
    crew.run(tasks.len(), |task| {
        let (part, head, start) = tasks[task];
        let (first_row, position) = begins[part];
        let (prefix, cache) = shared[part];
        let of: Vec<(&Head, usize)> = prefix.into_iter().chain([cache]).map(|c| (&c.heads[head], c.len)).collect();
        let end = (start + task_rows).min((parts_rows(&begins, rows, part)) * group);
        let blocks = (end - start).div_ceil(kernels.single.len());
        let mut scratch = Scratch::new();
        for index in 0..blocks {
            let first = start + (end - start) * index / blocks;
            let end = start + (end - start) * (index + 1) / blocks;
            scratch.queries.clear();
            for row in first..end {
                let of = head * group + row % group;
                let from = scratch.queries.len();
                scratch
                    .queries
                    .extend_from_slice(&qkv[(first_row + row / group) * heads.qkv() + of * width..][..width]);
                rotary.turn(&mut scratch.queries[from..], position + row / group);
                scratch.queries[from..].iter_mut().for_each(|x| *x *= scale);
            }
            block(kernels, &of, width, |row| position + (first + row) / group + 1, &mut scratch);
            for row in first..end {
                let result = scratch.out(row - first, width);
                // SAFETY: the place lies within `out`, and no other task has this head of this row.
                unsafe {
                    let of = head * group + row % group;
                    let place = out.at((first_row + row / group) * heads.out() + of * width);
                    place.copy_from_nonoverlapping(result.as_ptr(), width);
                }
            }
        }
    });
}

/// Rows of a part, from where each begins.
fn parts_rows(begins: &[(usize, usize)], rows: usize, part: usize) -> usize {
    begins.get(part + 1).map_or(rows, |next| next.0) - begins[part].0
}

/// Keys and values of the new rows into the caches.
fn add_rows(crew: &Crew, heads: Heads, rotary: &Rotary, qkv: &[f32], parts: &mut [Part], begins: &[(usize, usize)]) {
    let Heads { queries, keys, width } = heads;
    let mut places: Vec<(usize, usize, usize, usize, &mut Head)> = Vec::new();
    for (part, &(first, position)) in parts.iter_mut().zip(begins) {
        let before = part.cache.len;
        part.cache.len += part.rows;
        let rows = part.rows;
        let of = part.cache.heads.iter_mut().enumerate();
        places.extend(of.filter(|_| rows > 0).map(|(index, head)| (first, rows, position - before, index, head)));
    }
    // One token is not worth waking anybody for.
    let one = places.iter().all(|place| place.1 == 1);
    let add = |(first, rows, shift, index, head): &mut (usize, usize, usize, usize, &mut Head)| {
        let before = head.values.first().map_or(0, |values| values.len() / PANEL);
        let mut key = Vec::with_capacity(width);
        for row in 0..*rows {
            let start = (*first + row) * heads.qkv() + (queries + *index) * width;
            key.clear();
            key.extend_from_slice(&qkv[start..start + width]);
            rotary.turn(&mut key, *shift + before + row);
            head.push(before + row, &key, &qkv[start + keys * width..][..width]);
        }
    };
    if one {
        places.iter_mut().for_each(add);
    } else {
        crew.each(&mut places, |_, place| add(place));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::super::kernels::available;
    use super::super::super::testing::noise;
    use super::super::testing::{close, reference, wide};
    use super::*;

    /// The whole sequence at once against the definition, then cut into prefix, cache and new rows, bit for bit.
    fn check_decoder(heads: Heads, tokens: usize, cuts: &[usize], threads: usize) {
        let qkv: Vec<f32> = noise(tokens * heads.qkv(), 8).iter().map(|x| x * 3.0).collect();
        let frequencies: Vec<f32> = (0..heads.width / 2).map(|i| 0.3_f32.powi(i as i32)).collect();
        let rotary = Rotary::new(&frequencies, tokens);
        let turned = |row: usize, start: usize| {
            let mut head = qkv[row * heads.qkv() + start..][..heads.width].to_vec();
            rotary.turn(&mut head, row);
            wide(&head)
        };
        for kernels in available() {
            let mut out = vec![f32::NAN; tokens * heads.out()];
            let mut cache = Cache::new(heads);
            Crew::with(Some(threads), |crew| {
                let mut parts = [Part { rows: tokens, prefix: None, cache: &mut cache }];
                decoder_with(kernels, crew, heads, &rotary, &qkv, &mut parts, &mut out);
            });
            assert_eq!(cache.len(), tokens);
            for head in 0..heads.queries {
                let of = head / (heads.queries / heads.keys);
                let keys: Vec<_> = (0..tokens).map(|row| turned(row, (heads.queries + of) * heads.width)).collect();
                let start = (heads.queries + heads.keys + of) * heads.width;
                let values: Vec<_> = qkv.chunks(heads.qkv()).map(|row| wide(&row[start..][..heads.width])).collect();
                for row in 0..tokens {
                    let wanted = reference(&turned(row, head * heads.width), &keys[..=row], &values[..=row]);
                    close(&out[row * heads.out() + head * heads.width..][..heads.width], &wanted, kernels.name);
                }
            }

            // A prefix, then pieces, some of them taken back and done again, another sequence beside them.
            let (mut prefix, mut own, mut other) = (Cache::new(heads), Cache::new(heads), Cache::new(heads));
            let run = |rows: &[f32], parts: &mut [Part]| {
                let mut out = vec![f32::NAN; rows.len() / heads.qkv() * heads.out()];
                Crew::with(Some(threads), |crew| decoder_with(kernels, crew, heads, &rotary, rows, parts, &mut out));
                out
            };
            let (mut at, mut again) = (0, Vec::new());
            for (index, end) in cuts.iter().copied().chain([tokens]).enumerate() {
                let rows = &qkv[at * heads.qkv()..end * heads.qkv()];
                if index == 0 {
                    again.extend(run(rows, &mut [Part { rows: end, prefix: None, cache: &mut prefix }]));
                } else {
                    let before = own.len();
                    run(rows, &mut [Part { rows: end - at, prefix: Some(&prefix), cache: &mut own }]);
                    own.truncate(before);
                    let both: Vec<f32> = qkv[..heads.qkv()].iter().chain(rows).copied().collect();
                    other.truncate(0);
                    let first = Part { rows: 1, prefix: None, cache: &mut other };
                    let second = Part { rows: end - at, prefix: Some(&prefix), cache: &mut own };
                    again.extend_from_slice(&run(&both, &mut [first, second])[heads.out()..]);
                }
                at = end;
            }
            assert_eq!(again, out, "{} {heads:?} {cuts:?}", kernels.name);
        }
    }

    #[test]
    fn decoders_of_several_shapes() {
        check_decoder(Heads { queries: 1, keys: 1, width: 2 }, 1, &[], 1);
        check_decoder(Heads { queries: 4, keys: 2, width: 16 }, 70, &[33, 34, 50], 2);
        check_decoder(Heads { queries: 6, keys: 2, width: 34 }, 45, &[32, 40], 3);
        check_decoder(Heads { queries: 3, keys: 3, width: 64 }, 130, &[7, 8, 9, 10, 128], 2);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]
        #[test]
        fn any_cuts(tokens in 2..90_usize, mut cuts in prop::collection::vec(1..90_usize, 1..4), keys in 1..3_usize,
            group in 1..5_usize, half in 1..20_usize) {
            cuts.retain(|&cut| cut < tokens);
            cuts.sort_unstable();
            cuts.dedup();
            check_decoder(Heads { queries: keys * group, keys, width: 2 * half }, tokens, &cuts, 2);
        }
    }

    #[test]
    fn nan_stays_where_it_is_seen() {
        let heads = Heads { queries: 2, keys: 1, width: 4 };
        let rotary = Rotary::new(&[1.0, 0.5], 40);
        for kernels in available() {
            let mut qkv = noise(40 * heads.qkv(), 2);
            qkv[20 * heads.qkv()] = f32::NAN;
            let mut out = vec![0.0; 40 * heads.out()];
            let mut cache = Cache::new(heads);
            let mut parts = [Part { rows: 40, prefix: None, cache: &mut cache }];
            Crew::with(Some(2), |crew| decoder_with(kernels, crew, heads, &rotary, &qkv, &mut parts, &mut out));
            for (row, out) in out.chunks(heads.out()).enumerate() {
                assert_eq!(out[..4].iter().any(|x| x.is_nan()), row == 20, "{} row {row}", kernels.name);
            }
        }
    }
}
