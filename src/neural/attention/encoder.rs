//! Attention of an encoder: every token sees every other of its sequence.

use super::super::crew::{Crew, Pointer};
use super::super::kernels::{BEST, Kernels};
use super::{Head, Scratch, block};

/// Self-attention of an encoder.
///
/// `qkv` is `[tokens, 3 * hidden]`: queries, keys and values of a token side by side. The tokens are those of several
/// sequences after each other, without padding; `lengths` sums to `tokens`. `out` is `[tokens, hidden]`. Scores are
/// divided by the square root of the width of a head, `hidden / heads`. A sequence's result does not depend on the others.
///
/// # Panics
/// If lengths do not fit each other.
pub fn encoder(crew: &Crew, qkv: &[f32], lengths: &[usize], heads: usize, out: &mut [f32]) {
    encoder_with(*BEST, crew, qkv, lengths, heads, out);
}

fn encoder_with(kernels: &Kernels, crew: &Crew, qkv: &[f32], lengths: &[usize], heads: usize, out: &mut [f32]) {
    let tokens: usize = lengths.iter().sum();
    if tokens == 0 {
        return assert!(qkv.is_empty() && out.is_empty(), "rows without a sequence");
    }
    let hidden = out.len() / tokens;
    assert!(
        out.len() == tokens * hidden && qkv.len() == 3 * out.len(),
        "qkv is [tokens, 3 * hidden], out [tokens, hidden]"
    );
    assert!(heads > 0 && hidden.is_multiple_of(heads), "heads are of one width");
    let width = hidden / heads;
    let starts: Vec<usize> = lengths
        .iter()
        .scan(0, |next, &length| {
            let start = *next;
            *next += length;
            Some(start)
        })
        .collect();
    if width == 0 {
        return;
    }
    let scale = 1.0 / (width as f32).sqrt();
    let out = Pointer(out.as_mut_ptr());
    crew.run(lengths.len() * heads, |task| {
        let (sequence, index) = (task / heads, task % heads);
        let (start, length) = (starts[sequence], lengths[sequence]);
        let at = |token: usize, part: usize| &qkv[((start + token) * 3 + part) * hidden + index * width..][..width];
        let mut head = Head::of(length, width);
        for token in 0..length {
            head.push(token, at(token, 1), at(token, 2));
        }
        let mut scratch = Scratch::new();
        let blocks = length.div_ceil(kernels.single.len());
        for block_index in 0..blocks {
            let (first, end) = (length * block_index / blocks, length * (block_index + 1) / blocks);
            scratch.queries.clear();
            scratch.queries.extend((first..end).flat_map(|token| at(token, 0)).map(|x| x * scale));
            block(kernels, &[(&head, length)], width, |_| length, &mut scratch);
            for token in first..end {
                let result = scratch.out(token - first, width);
                // SAFETY: the place lies within `out`, and no other task has this head of this sequence.
                unsafe {
                    let place = out.at((start + token) * hidden + index * width);
                    place.copy_from_nonoverlapping(result.as_ptr(), width);
                }
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::super::kernels::available;
    use super::super::super::testing::noise;
    use super::super::testing::{close, reference, wide};
    use super::*;

    fn check_encoder(lengths: &[usize], heads: usize, width: usize, threads: usize) {
        let (tokens, hidden) = (lengths.iter().sum::<usize>(), heads * width);
        let qkv: Vec<f32> = noise(tokens * 3 * hidden, 4).iter().map(|x| x * 3.0).collect();
        for kernels in available() {
            let mut out = vec![f32::NAN; tokens * hidden];
            Crew::with(Some(threads), |crew| encoder_with(kernels, crew, &qkv, lengths, heads, &mut out));
            let mut first = 0;
            for &length in lengths {
                let part = &qkv[first * 3 * hidden..][..length * 3 * hidden];
                let mut alone = vec![f32::NAN; length * hidden];
                Crew::with(Some(1), |crew| encoder_with(kernels, crew, part, &[length], heads, &mut alone));
                assert_eq!(alone, out[first * hidden..][..length * hidden], "{} {lengths:?}", kernels.name);
                for head in 0..heads {
                    let rows = |of: usize| -> Vec<Vec<f64>> {
                        part.chunks(3 * hidden).map(|row| wide(&row[of * hidden + head * width..][..width])).collect()
                    };
                    let (queries, keys, values) = (rows(0), rows(1), rows(2));
                    for (query, out) in queries.iter().zip(alone.chunks(hidden)) {
                        close(&out[head * width..][..width], &reference(query, &keys, &values), kernels.name);
                    }
                }
                first += length;
            }
        }
    }

    #[test]
    fn encoders_of_several_shapes() {
        check_encoder(&[1], 1, 1, 1);
        check_encoder(&[33, 1, 0, 16, 47], 4, 8, 3);
        check_encoder(&[100, 31, 32], 2, 64, 2);
        check_encoder(&[13, 12], 3, 33, 2);
        check_encoder(&[], 2, 8, 2);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]
        #[test]
        fn any_sequences(lengths in prop::collection::vec(0..60_usize, 0..4), heads in 1..4_usize, width in 1..40_usize) {
            check_encoder(&lengths, heads, width, 2);
        }
    }
}
