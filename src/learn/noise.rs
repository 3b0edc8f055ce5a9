//! Random numbers that are a function of what they are for: the same for any number of threads and any processor.
//!
//! A number is the hash of a key and a position, so any part of a sequence can be made by anybody in any order. Only
//! additions, products, square roots and fused multiply-adds are used, in one order, so no mathematical library of the
//! system shows in the bits.

use super::product::with_features;

/// Mixes 64 bits: Steele, Lea and Flood's `SplitMix` finaliser.
fn mix64(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// What a random number is drawn for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Key(u64);

impl Key {
    pub(super) fn new(seed: u64) -> Self {
        Self(mix64(seed.wrapping_add(0x9e37_79b9_7f4a_7c15)))
    }

    /// A key of its own for the part `index` of this one.
    pub(super) fn part(self, index: u64) -> Self {
        Self(mix64(self.0 ^ mix64(index.wrapping_add(0x9e37_79b9_7f4a_7c15))))
    }

    /// The number at `index`, uniform over all u64.
    fn at(self, index: u64) -> u64 {
        self.part(index).0
    }

    /// An order of `0..count`, all orders alike.
    pub(super) fn shuffled(self, count: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..count).collect();
        for last in (1..count).rev() {
            // The high half of a 128-bit product: a range without a division, uneven by count / 2^64.
            let pick = (u128::from(self.at(last as u64)) * (last as u128 + 1)) >> 64;
            order.swap(last, pick as usize);
        }
        order
    }

    /// Uniform in (-1, 1).
    pub(super) fn uniform(self, out: &mut [f32]) {
        for (index, slot) in out.iter_mut().enumerate() {
            *slot = ((self.at(index as u64) >> 40) as f32 + 0.5) * 2f32.powi(-23) - 1.0;
        }
    }

    /// Adds `scale` times standard normal numbers to `out`, by the method of Box and Muller.
    pub(super) fn add_normal(self, out: &mut [f32], scale: f32) {
        let (low, high) = (self.0 as u32, (self.0 >> 32) as u32);
        with_features!(add_normal(out: &mut [f32], scale: f32, low: u32, high: u32));
    }
}

/// Numbers made side by side; the position of a number decides its bits, not the width of a register.
const BLOCK: usize = 32;

#[inline(always)]
#[expect(clippy::inline_always, reason = "the loop is compiled once for each set of processor features")]
fn add_normal(out: &mut [f32], scale: f32, low: u32, high: u32) {
    let mut counter = 0_u32;
    for block in out.chunks_mut(2 * BLOCK) {
        let mut radius = [0.0_f32; BLOCK];
        let mut sine = [0.0_f32; BLOCK];
        let mut cosine = [0.0_f32; BLOCK];
        for i in 0..BLOCK {
            let position = counter.wrapping_add(i as u32);
            let first = mix32(mix32(position.wrapping_mul(0x9e37_79b9) ^ low).wrapping_add(high));
            let second = mix32(first ^ 0x85eb_ca6b);
            radius[i] = (-2.0 * ln_of_bits(first)).sqrt() * scale;
            let turn = (second >> 8) as f32 * 2f32.powi(-24) - 0.5;
            let far = turn.abs();
            sine[i] = sine_of_turn(0.25 - (far - 0.25).abs()).copysign(turn);
            cosine[i] = sine_of_turn(0.25 - far);
        }
        counter = counter.wrapping_add(BLOCK as u32);
        if block.len() == 2 * BLOCK {
            let (left, right) = block.split_at_mut(BLOCK);
            for i in 0..BLOCK {
                left[i] = radius[i].mul_add(cosine[i], left[i]);
                right[i] = radius[i].mul_add(sine[i], right[i]);
            }
        } else {
            for (i, slot) in block.iter_mut().enumerate() {
                let angle = if i < BLOCK { cosine[i] } else { sine[i - BLOCK] };
                *slot = radius[i % BLOCK].mul_add(angle, *slot);
            }
        }
    }
}

/// Mixes 32 bits: two rounds of products and shifts with constants of low bias.
#[inline(always)]
#[expect(clippy::inline_always, reason = "as above")]
fn mix32(mut x: u32) -> u32 {
    x = (x ^ (x >> 16)).wrapping_mul(0x7feb_352d);
    x = (x ^ (x >> 15)).wrapping_mul(0x846c_a68b);
    x ^ (x >> 16)
}

/// Natural logarithm of a number uniform in (0, 1), made of the upper 24 bits; right to 1e-6 of its size and 1e-7.
#[inline(always)]
#[expect(clippy::inline_always, reason = "as above")]
fn ln_of_bits(bits: u32) -> f32 {
    let x = ((bits >> 8) as f32 + 0.5) * 2f32.powi(-24);
    let raw = x.to_bits();
    // x = 2^exponent * (1 + f) with 1 + f in [sqrt(1/2), sqrt(2)).
    let shifted = raw.wrapping_sub(0x3f35_04f3);
    let exponent = ((shifted as i32) >> 23) as f32;
    let mantissa = f32::from_bits((shifted & 0x007f_ffff).wrapping_add(0x3f35_04f3));
    // ln m = 2 atanh((m - 1) / (m + 1)).
    let s = (mantissa - 1.0) / (mantissa + 1.0);
    let q = s * s;
    let series = q.mul_add(2.0 / 9.0, 2.0 / 7.0);
    let series = q.mul_add(series, 2.0 / 5.0);
    let series = q.mul_add(series, 2.0 / 3.0);
    let series = q.mul_add(series, 2.0);
    exponent.mul_add(std::f32::consts::LN_2, series * s)
}

/// Sine of an angle in turns, within a quarter to either side; right to 4e-6.
#[inline(always)]
#[expect(clippy::inline_always, reason = "as above")]
fn sine_of_turn(turn: f32) -> f32 {
    let x = turn * std::f32::consts::TAU;
    let q = x * x;
    let series = q.mul_add(1.0 / 362_880.0, -1.0 / 5_040.0);
    let series = q.mul_add(series, 1.0 / 120.0);
    let series = q.mul_add(series, -1.0 / 6.0);
    x * q.mul_add(series, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn normal(key: Key, count: usize) -> Vec<f32> {
        let mut out = vec![0.0; count];
        key.add_normal(&mut out, 1.0);
        out
    }

    #[test]
    fn moments_and_tails_are_those_of_the_normal_distribution() {
        let n = 400_000;
        let values: Vec<f64> = normal(Key::new(7), n).into_iter().map(f64::from).collect();
        let moment = |k: i32| values.iter().map(|v| v.powi(k)).sum::<f64>() / n as f64;
        assert!(moment(1).abs() < 0.006, "{}", moment(1));
        assert!((moment(2) - 1.0).abs() < 0.01, "{}", moment(2));
        assert!(moment(3).abs() < 0.03, "{}", moment(3));
        assert!((moment(4) - 3.0).abs() < 0.08, "{}", moment(4));
        let beyond = |x: f64| values.iter().filter(|v| v.abs() > x).count() as f64 / n as f64;
        for (x, share) in [(0.5, 0.617_075), (1.0, 0.317_311), (2.0, 0.045_500), (3.0, 0.002_700)] {
            assert!((beyond(x) - share).abs() < 4.0 * (share / n as f64).sqrt(), "{x}: {}", beyond(x));
        }
    }

    #[test]
    fn neighbours_do_not_know_each_other() {
        let n = 200_000;
        for (a, b) in [
            (normal(Key::new(1), n), normal(Key::new(2), n)),
            (normal(Key::new(1).part(5), n), normal(Key::new(1).part(6), n)),
            (normal(Key::new(3), n), normal(Key::new(3), n + 1)[1..].to_vec()),
            (normal(Key::new(4), n), normal(Key::new(4), n + 32)[32..].to_vec()),
        ] {
            let product: f64 = a.iter().zip(&b).map(|(a, b)| f64::from(a * b)).sum::<f64>() / n as f64;
            assert!(product.abs() < 4.0 / (n as f64).sqrt(), "{product}");
        }
    }

    #[test]
    fn a_shorter_draw_is_the_beginning_of_a_longer_one() {
        let long = normal(Key::new(9), 200);
        for count in [0, 1, 64, 128] {
            assert_eq!(normal(Key::new(9), count), long[..count]);
        }
    }

    #[test]
    fn orders_hold_every_number_once() {
        for count in [0, 1, 2, 100] {
            let mut order = Key::new(5).shuffled(count);
            if count > 10 {
                assert_ne!(order, (0..count).collect::<Vec<_>>());
                assert_ne!(order, Key::new(6).shuffled(count));
            }
            order.sort_unstable();
            assert_eq!(order, (0..count).collect::<Vec<_>>());
        }
    }

    #[test]
    fn uniform_numbers_fill_their_range() {
        let mut out = vec![0.0; 100_000];
        Key::new(1).uniform(&mut out);
        assert!(out.iter().all(|x| x.abs() < 1.0));
        let mean = out.iter().sum::<f32>() / 100_000.0;
        assert!(mean.abs() < 0.01 && out.iter().any(|&x| x > 0.999) && out.iter().any(|&x| x < -0.999));
    }

    #[test]
    fn series_are_as_right_as_they_say() {
        for i in 0..4096_u32 {
            let bits = i << 20 | 0x000f_ff00;
            let exact = ((f64::from(bits >> 8) + 0.5) * 2f64.powi(-24)).ln();
            // Rounding of the number itself to f32 is what is left close to 1.
            let error = (f64::from(ln_of_bits(bits)) - exact).abs();
            assert!(error < 1e-6 * exact.abs() + 1e-7, "{bits}: {error}");
            let turn = i as f32 / 8192.0 - 0.25;
            let exact = (f64::from(turn) * std::f64::consts::TAU).sin();
            assert!((f64::from(sine_of_turn(turn)) - exact).abs() < 4e-6, "{turn}");
        }
    }
}
