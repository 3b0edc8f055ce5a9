//! The kernels of each processor, and the choice among them at run time.

use std::sync::LazyLock;

use super::simd::{Plain, Simd};
#[cfg(target_arch = "x86_64")]
use super::tiles::Dotted;
use super::tiles::{self, Finish, Panel, Single, Sums, Widened, tile};
use super::vector;

/// The environment variable that switches kernels off, for checks: `avx512_bf16` (all that there is), `avx512`
/// (without bf16 products), `avx2`, `plain`. Read once; what the processor does not have is not used in any case.
pub const VARIABLE: &str = "FERROUTE_CPU";

/// A tile of as many rows as its place in the list says, plus one: see [`tile`].
pub(super) type Tile<X, W> = unsafe fn(*const X, usize, *const W, usize, *mut f32, usize, bool);

/// What one processor runs. All functions need what [`available`] has found.
pub(super) struct Kernels {
    /// As in [`VARIABLE`].
    pub(super) name: &'static str,
    pub(super) single: &'static [Tile<f32, f32>],
    pub(super) widened: &'static [Tile<[f32; 2], [u16; 2]>],
    pub(super) dotted: Option<&'static [Tile<[u16; 2], [u16; 2]>]>,
    /// See [`tiles::finish`].
    pub(super) finish: unsafe fn(&mut Sums, &Sums, &Finish),
    pub(super) gelu: unsafe fn(*mut f32, usize),
    pub(super) softmax: unsafe fn(*mut f32, usize),
    pub(super) layer_norm: unsafe fn(*mut f32, usize, *const f32, *const f32, f32),
    pub(super) rms_norm: unsafe fn(*const f32, *mut f32, usize, *const f32, f32),
    pub(super) round: unsafe fn(&[f32], &mut [u16]),
}

/// Functions of one processor: the generic ones, inlined where its features are enabled.
macro_rules! processor {
    ($module:ident, $simd:ty, $(#[$features:meta])?, [$($rows:literal)*]) => {
        mod $module {
            use super::*;

            $(#[$features])?
            unsafe fn run<P: Panel<$simd>, const R: usize>(
                x: *const P::X,
                stride: usize,
                panel: *const P::W,
                steps: usize,
                out: *mut f32,
                out_stride: usize,
                add: bool,
            ) {
                // SAFETY: the caller's promise, here and below; the features are enabled on this function.
                unsafe { tile::<$simd, P, R>(x, stride, panel, steps, out, out_stride, add) }
            }
            $(#[$features])?
            unsafe fn finish(sums: &mut Sums, ups: &Sums, finish: &Finish) {
                // SAFETY: see `run`.
                unsafe { tiles::finish::<$simd>(sums, ups, finish) }
            }
            $(#[$features])?
            unsafe fn gelu(row: *mut f32, len: usize) {
                // SAFETY: see `run`.
                unsafe { vector::gelu_row::<$simd>(row, len) }
            }
            $(#[$features])?
            unsafe fn softmax(row: *mut f32, len: usize) {
                // SAFETY: see `run`.
                unsafe { vector::softmax_row::<$simd>(row, len) }
            }
            $(#[$features])?
            unsafe fn layer_norm(row: *mut f32, len: usize, weight: *const f32, bias: *const f32, eps: f32) {
                // SAFETY: see `run`.
                unsafe { vector::layer_norm_row::<$simd>(row, len, weight, bias, eps) }
            }
            $(#[$features])?
            unsafe fn rms_norm(x: *const f32, out: *mut f32, len: usize, weight: *const f32, eps: f32) {
                // SAFETY: see `run`.
                unsafe { vector::rms_norm_row::<$simd>(x, out, len, weight, eps) }
            }
            $(#[$features])?
            unsafe fn round(x: &[f32], out: &mut [u16]) {
                vector::round_row(x, out);
            }

            pub(super) static KERNELS: Kernels = Kernels {
                name: stringify!($module),
                single: &[$(run::<Single, $rows>),*],
                widened: &[$(run::<Widened, $rows>),*],
                dotted: None,
                finish,
                gelu,
                softmax,
                layer_norm,
                rms_norm,
                round,
            };
            const _: () = assert!(KERNELS.single.len() == <$simd>::ROWS);
        }
    };
}

processor!(plain, Plain, , [1 2 3 4]);

#[cfg(target_arch = "x86_64")]
use super::simd::{Avx2, Avx512};
#[cfg(target_arch = "x86_64")]
processor!(avx2, Avx2, #[target_feature(enable = "avx2,fma")], [1 2 3 4 5 6]);
#[cfg(target_arch = "x86_64")]
processor!(avx512, Avx512, #[target_feature(enable = "avx512f")], [1 2 3 4 5 6 7 8 9 10 11 12]);

#[cfg(target_arch = "x86_64")]
mod avx512_bf16 {
    use super::{Avx512, Dotted, Kernels, Panel, avx512, tile};

    #[target_feature(enable = "avx512f,avx512bf16")]
    unsafe fn run<const R: usize>(
        x: *const <Dotted as Panel<Avx512>>::X,
        stride: usize,
        panel: *const <Dotted as Panel<Avx512>>::W,
        steps: usize,
        out: *mut f32,
        out_stride: usize,
        add: bool,
    ) {
        // SAFETY: the caller's promise; the features are enabled on this function.
        unsafe { tile::<Avx512, Dotted, R>(x, stride, panel, steps, out, out_stride, add) }
    }

    pub(super) static KERNELS: Kernels = Kernels {
        name: "avx512_bf16",
        dotted: Some(&[
            run::<1>, run::<2>, run::<3>, run::<4>, run::<5>, run::<6>, run::<7>, run::<8>, run::<9>, run::<10>,
            run::<11>, run::<12>,
        ]),
        ..avx512::KERNELS
    };
}

/// The kernels in use.
pub(super) static BEST: LazyLock<&'static Kernels> =
    LazyLock::new(|| choose(&std::env::var(VARIABLE).unwrap_or_default(), &available()));

/// What is asked for, or else the next best that the processor has; a name that is not known asks for nothing.
fn choose(wanted: &str, all: &[&'static Kernels]) -> &'static Kernels {
    let order = ["avx512_bf16", "avx512", "avx2", "plain"];
    let from = order.iter().position(|&name| name == wanted).unwrap_or(0);
    let found = order[from..].iter().find_map(|&name| all.iter().find(|kernels| kernels.name == name));
    found.copied().unwrap_or(&plain::KERNELS)
}

/// All kernels this processor can run, fastest first.
pub(super) fn available() -> Vec<&'static Kernels> {
    let mut found: Vec<&'static Kernels> = Vec::new();
    #[cfg(target_arch = "x86_64")]
    {
        let avx2 = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
        let avx512 = avx2 && is_x86_feature_detected!("avx512f");
        if avx512 && is_x86_feature_detected!("avx512bf16") {
            found.push(&avx512_bf16::KERNELS);
        }
        if avx512 {
            found.push(&avx512::KERNELS);
        }
        if avx2 {
            found.push(&avx2::KERNELS);
        }
    }
    found.push(&plain::KERNELS);
    found
}

/// The name of the kernels in use.
pub fn name() -> &'static str {
    BEST.name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variable_switches_off_and_never_on() {
        let all = available();
        assert_eq!(all.last().map(|kernels| kernels.name), Some("plain"));
        for wanted in ["", "fastest", "AVX2"] {
            assert_eq!(choose(wanted, &all).name, all[0].name);
        }
        assert_eq!(choose("plain", &all).name, "plain");
        for kernels in &all {
            assert_eq!(choose(kernels.name, &all).name, kernels.name);
        }
        for wanted in ["avx512_bf16", "avx512", "avx2", ""] {
            assert_eq!(choose(wanted, &[&plain::KERNELS]).name, "plain");
        }
    }
}
