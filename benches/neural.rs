//! Products of the neural room: GFLOP/s, and GB/s where one row makes them a matter of memory. One JSON line each.
//!
//!     cargo bench --bench neural
//!
//! Beside them what the processor can do: multiply-adds on registers, one and two threads. `FERROUTE_CPU=avx2` (or
//! `avx512`, `plain`) measures other kernels. The best of many short runs is printed: other work on the machine takes
//! time from some of them.

#![allow(missing_docs, reason = "not an interface")]
#![allow(clippy::print_stdout, reason = "a program for developers")]

use std::hint::black_box;
use std::time::Instant;

use ferroute::neural::crew::Crew;
use ferroute::neural::kernels;
use ferroute::neural::linear::{Linear, Precision, Stored, Then};

/// Best time of one call in seconds, of calls that take a second together.
fn best(mut call: impl FnMut()) -> f64 {
    let (start, mut best) = (Instant::now(), f64::INFINITY);
    call();
    while start.elapsed().as_secs_f64() < 1.0 {
        let one = Instant::now();
        call();
        best = best.min(one.elapsed().as_secs_f64());
    }
    best
}

#[cfg(target_arch = "x86_64")]
mod peak {
    use std::arch::x86_64::{__m256, __m512, _mm256_fmadd_ps, _mm256_set1_ps, _mm512_fmadd_ps, _mm512_set1_ps};
    use std::hint::black_box;

    const ROUNDS: usize = 200_000;

    #[target_feature(enable = "avx512f")]
    fn avx512() -> f64 {
        let mut sums: [__m512; 16] = [_mm512_set1_ps(0.5); 16];
        let (a, b) = (black_box(_mm512_set1_ps(0.5)), black_box(_mm512_set1_ps(0.25)));
        for _ in 0..ROUNDS {
            for sum in &mut sums {
                *sum = _mm512_fmadd_ps(*sum, a, b);
            }
        }
        black_box(sums);
        (ROUNDS * 16 * 16 * 2) as f64
    }

    #[target_feature(enable = "avx2,fma")]
    fn avx2() -> f64 {
        let mut sums: [__m256; 12] = [_mm256_set1_ps(0.5); 12];
        let (a, b) = (black_box(_mm256_set1_ps(0.5)), black_box(_mm256_set1_ps(0.25)));
        for _ in 0..ROUNDS {
            for sum in &mut sums {
                *sum = _mm256_fmadd_ps(*sum, a, b);
            }
        }
        black_box(sums);
        (ROUNDS * 12 * 8 * 2) as f64
    }

    /// Multiply-adds on registers; returns how many operations that were.
    pub fn run(name: &str) -> f64 {
        match name {
            // SAFETY: these are the kernels in use, so the processor has what they need.
            "avx512" | "avx512_bf16" => unsafe { avx512() },
            // SAFETY: as above.
            "avx2" => unsafe { avx2() },
            _ => f64::NAN,
        }
    }
}

fn noise(count: usize) -> Vec<f32> {
    let mut state = 1_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        f32::from((state >> 16) as u16) / 32768.0 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

fn product(threads: usize, [rows, inputs, outputs]: [usize; 3], kind: &str, weights: &[f32]) {
    let bf16 = kind != "f32";
    let weights = &weights[..inputs * outputs];
    let bytes: Vec<u8> = if bf16 {
        weights.iter().flat_map(|w| ((w.to_bits() >> 16) as u16).to_le_bytes()).collect()
    } else {
        weights.iter().flat_map(|w| w.to_le_bytes()).collect()
    };
    let layer = Linear::new(if bf16 { Stored::Bf16(&bytes) } else { Stored::F32(&bytes) }, None, inputs);
    let (x, mut out) = (noise(rows * inputs), vec![0.0; rows * outputs]);
    let precision = if kind == "bf16 by bf16" { Precision::Bf16 } else { Precision::F32 };
    let seconds =
        Crew::with(Some(threads), |crew| best(|| layer.apply(crew, precision, black_box(&x), &mut out, Then::Store)));
    let gflops = 2.0 * (rows * inputs * outputs) as f64 / seconds / 1e9;
    let gbytes = layer.bytes() as f64 / seconds / 1e9;
    println!(
        r#"{{"bench": "neural", "kernels": "{}", "threads": {threads}, "rows": {rows}, "inputs": {inputs}, "outputs": {outputs}, "kind": "{kind}", "ms": {:.3}, "gflops": {gflops:.1}, "weights_gb_per_s": {gbytes:.1}}}"#,
        kernels::name(),
        seconds * 1e3,
    );
}

fn main() {
    #[cfg(target_arch = "x86_64")]
    for threads in [1, 2] {
        let operations = peak::run(kernels::name());
        let seconds = Crew::with(Some(threads), |crew| {
            best(|| {
                crew.run(threads, |_| {
                    peak::run(kernels::name());
                });
            })
        });
        let gflops = operations * threads as f64 / seconds / 1e9;
        println!(
            r#"{{"bench": "neural_peak", "kernels": "{}", "threads": {threads}, "gflops": {gflops:.1}}}"#,
            kernels::name()
        );
    }
    let weights = noise(8192 * 2048);
    for threads in [1, 2] {
        for rows in [32, 128, 512] {
            product(threads, [rows, 768, 3072], "f32", &weights);
            product(threads, [rows, 3072, 768], "f32", &weights);
        }
        for kind in ["bf16 by f32", "bf16 by bf16"] {
            product(threads, [300, 2048, 8192], kind, &weights);
            product(threads, [300, 8192, 2048], kind, &weights);
        }
        for kind in ["f32", "bf16 by f32", "bf16 by bf16"] {
            product(threads, [1, 2048, 8192], kind, &weights);
        }
    }
}
