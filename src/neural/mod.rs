//! A small transformer on the CPU: packed weights, kernels for each processor, an encoder and a decoder.
//!
//! What pays, in order: weights packed once; bias, activation and residual fused into the product; work split over a
//! crew that is started once a forward pass; an embedding table that stays in the file's map.

pub mod attention;
pub mod crew;
pub mod decoder;
pub mod encoder;
pub mod kernels;
pub mod linear;
mod memory;
pub mod ops;
mod simd;
#[cfg(test)]
mod testing;
mod tiles;
mod vector;
pub mod weights;

/// As [`crate::math::settle`].
#[cfg(feature = "python")]
pub(crate) fn settle() {
    std::sync::LazyLock::force(&kernels::BEST);
}
