//! The one matrix product of training, and how functions are compiled for a processor's features.
//!
//! Every element of a result is one chain of fused multiply-adds in the order of the depth, so neither the processor,
//! nor the tile it lies in, nor the number of threads shows in its bits.

/// Calls a function of this module compiled for the best features the processor has: `f(a: A, b: B)`.
macro_rules! with_features {
    ($name:ident($($argument:ident: $kind:ty),*)) => {{
        #[cfg(target_arch = "x86_64")]
        {
            #[target_feature(enable = "avx512f,avx2,fma")]
            fn avx512($($argument: $kind),*) {
                $name($($argument),*);
            }
            #[target_feature(enable = "avx2,fma")]
            fn avx2($($argument: $kind),*) {
                $name($($argument),*);
            }
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                if is_x86_feature_detected!("avx512f") {
                    // SAFETY: the features were found just now.
                    return unsafe { avx512($($argument),*) };
                }
                // SAFETY: as above.
                return unsafe { avx2($($argument),*) };
            }
        }
        $name($($argument),*);
    }};
}
pub(super) use with_features;

/// Columns of the right factor and of the result are a multiple of this.
pub(super) const LANES: usize = 16;

/// Rows of the result that are made together.
const ROWS: usize = 8;

/// The left factor of a product: element `(row, depth)` lies at `row * row_step + depth * depth_step`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Left<'a> {
    pub(super) values: &'a [f32],
    pub(super) row_step: usize,
    pub(super) depth_step: usize,
}

/// `out = left x right`: `out` is `[rows, cols]`, `right` is `[depth, cols]`, both C order; `cols` divides by [`LANES`].
///
/// What is beyond a whole row of `out` or of `right` is not touched.
pub(super) fn product(left: Left, right: &[f32], cols: usize, out: &mut [f32]) {
    debug_assert!(cols.is_multiple_of(LANES));
    if cols == 0 {
        return;
    }
    with_features!(all_tiles(left: Left, right: &[f32], cols: usize, out: &mut [f32]));
}

#[inline(always)]
#[expect(clippy::inline_always, reason = "the loop is compiled once for each set of processor features")]
fn all_tiles(left: Left, right: &[f32], cols: usize, out: &mut [f32]) {
    for (index, rows) in out.chunks_mut(ROWS * cols).enumerate() {
        let first = index * ROWS;
        let left = Left { values: left.values.get(first * left.row_step..).unwrap_or_default(), ..left };
        if rows.len() == ROWS * cols {
            row_of_tiles::<ROWS>(left, right, cols, rows);
            continue;
        }
        for (row, slots) in rows.chunks_exact_mut(cols).enumerate() {
            let left = Left { values: left.values.get(row * left.row_step..).unwrap_or_default(), ..left };
            row_of_tiles::<1>(left, right, cols, slots);
        }
    }
}

#[inline(always)]
#[expect(clippy::inline_always, reason = "as above")]
fn row_of_tiles<const R: usize>(left: Left, right: &[f32], cols: usize, out: &mut [f32]) {
    let mut col = 0;
    while col + 2 * LANES <= cols {
        tile::<R, { 2 * LANES }>(left, right, cols, col, out);
        col += 2 * LANES;
    }
    if col < cols {
        tile::<R, LANES>(left, right, cols, col, out);
    }
}

#[inline(always)]
#[expect(clippy::inline_always, reason = "as above")]
fn tile<const R: usize, const C: usize>(left: Left, right: &[f32], cols: usize, col: usize, out: &mut [f32]) {
    let mut sums = [[0.0_f32; C]; R];
    for (depth, line) in right.chunks_exact(cols).enumerate() {
        let Some(line) = line[col..].first_chunk::<C>() else { return };
        let values = &left.values[depth * left.depth_step..];
        for (row, sums) in sums.iter_mut().enumerate() {
            let value = values[row * left.row_step];
            for (sum, &weight) in sums.iter_mut().zip(line) {
                *sum = value.mul_add(weight, *sum);
            }
        }
    }
    for (sums, line) in sums.iter().zip(out.chunks_exact_mut(cols)) {
        line[col..col + C].copy_from_slice(sums);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shape_and_both_orders_of_the_left_factor() {
        for (rows, depth, cols) in [(1, 1, 16), (8, 5, 32), (13, 7, 48), (3, 0, 16), (17, 33, 128), (0, 4, 16)] {
            let value = |i: usize| ((i * 7919) % 23) as f32 - 11.0;
            let left: Vec<f32> = (0..rows * depth).map(value).collect();
            let right: Vec<f32> = (0..depth * cols).map(|i| value(i + 3)).collect();
            let mut turned = vec![0.0; rows * depth];
            for row in 0..rows {
                for k in 0..depth {
                    turned[k * rows + row] = left[row * depth + k];
                }
            }
            let mut expected = vec![0.0_f32; rows * cols];
            for (i, slot) in expected.iter_mut().enumerate() {
                let (row, col) = (i / cols, i % cols);
                *slot = (0..depth).map(|k| left[row * depth + k] * right[k * cols + col]).sum();
            }
            for left in [
                Left { values: &left, row_step: depth, depth_step: 1 },
                Left { values: &turned, row_step: 1, depth_step: rows },
            ] {
                let mut out = vec![f32::NAN; rows * cols];
                product(left, &right, cols, &mut out);
                assert_eq!(out, expected, "{rows} x {depth} x {cols}");
                let mut plain = vec![f32::NAN; rows * cols];
                all_tiles(left, &right, cols, &mut plain);
                assert_eq!(plain, expected, "plain {rows} x {depth} x {cols}");
            }
        }
    }
}
