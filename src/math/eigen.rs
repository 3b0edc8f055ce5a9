//! Eigenvalues and eigenvectors of a symmetric matrix, all of them.
//!
//! Householder reflections make the matrix tridiagonal, implicit QL steps make it diagonal (Golub and Van Loan, Matrix
//! Computations, 8.3). One thread and one order of sums, so the same matrix gives the same bits everywhere.

use crate::error::{Error, Result};

/// QL steps for one eigenvalue; three or four are usual.
const MOST_STEPS: usize = 60;

/// `matrix = vectors^T diag(values) vectors`.
#[derive(Debug, Clone, PartialEq)]
pub struct Eigen {
    /// Falling.
    pub values: Vec<f64>,
    /// `[n, n]`, C order: row `i` is the unit vector that belongs to `values[i]`.
    pub vectors: Vec<f64>,
}

impl Eigen {
    /// Decomposes a symmetric matrix `[n, n]`, C order, of which the lower half is read.
    ///
    /// # Errors
    /// [`Kind::Value`](crate::Kind::Value) when it is not square or a number is not finite.
    pub fn of(matrix: Vec<f64>, n: usize) -> Result<Self> {
        if matrix.len() != n * n {
            return Err(Error::value(format!("expected {n} x {n} numbers, found {}", matrix.len())));
        }
        if let Some(bad) = matrix.iter().find(|value| !value.is_finite()) {
            return Err(Error::value(format!("expected finite numbers in a matrix, found {bad}")));
        }
        if n == 0 {
            return Ok(Self { values: Vec::new(), vectors: Vec::new() });
        }
        let mut rows = matrix;
        let (mut diagonal, mut beside) = tridiagonal(&mut rows, n);
        diagonalise(&mut diagonal, &mut beside, &mut rows, n)?;
        let mut order: Vec<usize> = (0..n).collect();
        order.sort_by(|&a, &b| diagonal[b].total_cmp(&diagonal[a]));
        let vectors = order.iter().flat_map(|&i| rows[i * n..(i + 1) * n].iter().copied()).collect();
        Ok(Self { values: order.iter().map(|&i| diagonal[i]).collect(), vectors })
    }

    /// Side of the matrix.
    pub fn size(&self) -> usize {
        self.values.len()
    }

    /// Coordinates of `vector` along the eigenvectors.
    pub fn along(&self, vector: &[f64]) -> Vec<f64> {
        self.vectors.chunks_exact(self.size().max(1)).map(|row| dot(row, vector)).collect()
    }

    /// The vector with these coordinates.
    pub fn back(&self, coordinates: &[f64]) -> Vec<f64> {
        let mut out = vec![0.0; self.size()];
        for (row, &factor) in self.vectors.chunks_exact(self.size().max(1)).zip(coordinates) {
            add(&mut out, factor, row);
        }
        out
    }
}

/// Sum of products, in eight chains that are added in a fixed order.
pub(crate) fn dot(a: &[f64], b: &[f64]) -> f64 {
    let (a, a_rest) = a.as_chunks::<8>();
    let (b, b_rest) = b.as_chunks::<8>();
    let mut sums = [0.0; 8];
    for (a, b) in a.iter().zip(b) {
        for lane in 0..8 {
            sums[lane] += a[lane] * b[lane];
        }
    }
    let rest: f64 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
    sums.iter().sum::<f64>() + rest
}

/// `out += factor * row`.
pub(crate) fn add(out: &mut [f64], factor: f64, row: &[f64]) {
    out.iter_mut().zip(row).for_each(|(out, value)| *out += factor * value);
}

/// Replaces the matrix with the transposed product of reflections; gives the diagonal and what stands below it.
fn tridiagonal(a: &mut [f64], n: usize) -> (Vec<f64>, Vec<f64>) {
    let (mut diagonal, mut beside) = (vec![0.0; n], vec![0.0; n]);
    // The reflections' vectors stay in the rows they have emptied, with their factors here.
    let mut factors = vec![0.0; n];
    for i in (1..n).rev() {
        let (above, row) = a.split_at_mut(i * n);
        let row = &mut row[..i];
        let norm = dot(row, row).sqrt();
        let last = row[i - 1];
        // A row that is tridiagonal already needs no reflection.
        if i == 1 || dot(&row[..i - 1], &row[..i - 1]) == 0.0 {
            beside[i] = last;
            continue;
        }
        let target = if last > 0.0 { -norm } else { norm };
        beside[i] = target;
        row[i - 1] = last - target;
        let factor = 2.0 / dot(row, row);
        factors[i] = factor;
        // With p = factor A v and w = p - (factor/2)(p.v) v the block becomes A - v w' - w v'.
        let mut w = vec![0.0; i];
        for j in 0..i {
            let line = &above[j * n..=j * n + j];
            w[j] += dot(line, &row[..=j]);
            let (head, tail) = (row[j], &line[..j]);
            add(&mut w[..j], head, tail);
        }
        for entry in &mut w {
            *entry *= factor;
        }
        let half = factor / 2.0 * dot(&w, row);
        add(&mut w, -half, row);
        for j in 0..i {
            let line = &mut above[j * n..=j * n + j];
            let (v_j, w_j) = (row[j], w[j]);
            for ((slot, &v), &w) in line.iter_mut().zip(row.iter()).zip(&w) {
                *slot -= v_j * w + w_j * v;
            }
        }
    }
    for i in 0..n {
        diagonal[i] = a[i * n + i];
    }
    // The product of the reflections, built from the small ones outwards; rows are what will become eigenvectors.
    let mut q = vec![0.0; n * n];
    for i in 0..n {
        q[i * n + i] = 1.0;
    }
    for i in 1..n {
        let factor = factors[i];
        if factor == 0.0 {
            continue;
        }
        let v = &a[i * n..i * n + i];
        for row in q.chunks_exact_mut(n).take(i) {
            let along = factor * dot(&row[..i], v);
            add(&mut row[..i], -along, v);
        }
    }
    a.copy_from_slice(&q);
    (diagonal, beside)
}

/// QL steps with implicit shifts until nothing stands beside the diagonal; `rows` turn along.
fn diagonalise(diagonal: &mut [f64], beside: &mut [f64], rows: &mut [f64], n: usize) -> Result<()> {
    beside.rotate_left(1);
    beside[n - 1] = 0.0;
    for l in 0..n {
        for step in 0.. {
            let small = |m: usize| beside[m].abs() <= f64::EPSILON * (diagonal[m].abs() + diagonal[m + 1].abs());
            let m = (l..n - 1).find(|&m| small(m)).unwrap_or(n - 1);
            if m == l {
                break;
            }
            if step == MOST_STEPS {
                return Err(Error::value("the eigenvalues of a matrix could not be found"));
            }
            let mut g = (diagonal[l + 1] - diagonal[l]) / (2.0 * beside[l]);
            let root = g.hypot(1.0);
            g = diagonal[m] - diagonal[l] + beside[l] / (g + root.copysign(g));
            let (mut sine, mut cosine, mut shift) = (1.0, 1.0, 0.0);
            let mut ended = false;
            for i in (l..m).rev() {
                let (turned, kept) = (sine * beside[i], cosine * beside[i]);
                let length = turned.hypot(g);
                beside[i + 1] = length;
                if length == 0.0 {
                    diagonal[i + 1] -= shift;
                    beside[m] = 0.0;
                    ended = true;
                    break;
                }
                (sine, cosine) = (turned / length, g / length);
                g = diagonal[i + 1] - shift;
                let gained = (diagonal[i] - g) * sine + 2.0 * cosine * kept;
                shift = sine * gained;
                diagonal[i + 1] = g + shift;
                g = cosine * gained - kept;
                let (low, high) = rows[i * n..(i + 2) * n].split_at_mut(n);
                for (low, high) in low.iter_mut().zip(high) {
                    let kept = *high;
                    *high = sine * *low + cosine * kept;
                    *low = cosine * *low - sine * kept;
                }
            }
            if !ended {
                diagonal[l] -= shift;
                beside[l] = g;
                beside[m] = 0.0;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn symmetric(n: usize, seed: u64) -> Vec<f64> {
        let mut state = seed;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 11) as f64 / (1u64 << 53) as f64 - 0.5
        };
        let mut a = vec![0.0; n * n];
        for i in 0..n {
            for j in 0..=i {
                a[i * n + j] = next();
                a[j * n + i] = a[i * n + j];
            }
        }
        a
    }

    fn check(a: &[f64], n: usize) {
        let found = Eigen::of(a.to_vec(), n).unwrap();
        assert!(found.values.windows(2).all(|two| two[0] >= two[1]));
        for i in 0..n {
            let v = &found.vectors[i * n..(i + 1) * n];
            for j in 0..n {
                let other = &found.vectors[j * n..(j + 1) * n];
                assert!((dot(v, other) - f64::from(u8::from(i == j))).abs() < 1e-12);
                let image = dot(&a[j * n..(j + 1) * n], v);
                assert!((image - found.values[i] * v[j]).abs() < 1e-12 * n as f64, "{i} {j}");
            }
        }
    }

    #[test]
    fn vectors_are_eigenvectors() {
        for n in [1, 2, 3, 10, 57] {
            check(&symmetric(n, n as u64), n);
        }
    }

    #[test]
    fn equal_and_missing_values_do_no_harm() {
        check(&[0.0; 25], 5);
        let mut identity = vec![0.0; 36];
        (0..6).for_each(|i| identity[i * 7] = 2.0);
        check(&identity, 6);
        // Rank one.
        let v: Vec<f64> = (0..8).map(f64::from).collect();
        let outer: Vec<f64> = v.iter().flat_map(|a| v.iter().map(move |b| a * b / 140.0)).collect();
        check(&outer, 8);
    }

    #[test]
    fn coordinates_come_back() {
        let found = Eigen::of(symmetric(9, 3), 9).unwrap();
        let v: Vec<f64> = (0..9).map(|i| f64::from(i).sin()).collect();
        let back = found.back(&found.along(&v));
        assert!(v.iter().zip(back).all(|(a, b)| (a - b).abs() < 1e-13));
    }

    #[test]
    fn what_is_no_matrix_is_refused() {
        assert!(Eigen::of(vec![0.0; 3], 2).is_err());
        assert!(Eigen::of(vec![f64::NAN; 4], 2).is_err());
        assert_eq!(Eigen::of(Vec::new(), 0).unwrap().size(), 0);
    }
}
