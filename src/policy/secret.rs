//! The secret of a key: made from 32 random bytes, shown once, kept as its SHA-256.
//!
//! A slow hash is for passwords, which people choose. These bytes nobody can guess, so one round is as safe, and a request is not
//! kept waiting.

use std::fmt;
use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};

use crate::error::{Error, Kind, Result};

/// What every key begins with, so that those who scan for leaked secrets can find it.
pub const PREFIX: &str = "frk_";
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// The SHA-256 of a secret.
#[derive(Clone, Copy)]
pub struct Digest([u8; 32]);

impl Digest {
    /// Of this secret.
    pub fn of(secret: &str) -> Self {
        Self(Sha256::digest(secret.as_bytes()).into())
    }

    /// As it was kept; `None` where it is none.
    pub fn kept(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// As it is kept.
    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Whether both are of one secret; takes the same time wherever they differ.
    pub fn is(&self, other: &Self) -> bool {
        let different = self.0.iter().zip(&other.0).fold(0, |sum, (a, b)| sum | (a ^ b));
        std::hint::black_box(different) == 0
    }

    /// Where it is looked up; a part only, so that looking up tells nothing of the rest.
    pub(super) fn place(&self) -> u64 {
        self.0.iter().take(8).fold(0, |place, byte| place << 8 | u64::from(*byte))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Digest")
    }
}

/// A new secret. It is nowhere but in what this gives.
///
/// # Errors
/// [`Kind::Io`] where the system has no random numbers.
pub fn fresh() -> Result<String> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(no_numbers)?;
    let mut secret = PREFIX.to_owned();
    for three in bytes.chunks(3) {
        let number = three.iter().fold(0_u32, |number, &byte| number << 8 | u32::from(byte)) << (8 * (3 - three.len()));
        let letters = (0..=three.len()).map(|at| ALPHABET[(number >> (18 - 6 * at)) as usize & 63]);
        secret.extend(letters.map(char::from));
    }
    Ok(secret)
}

/// A new public id.
///
/// # Errors
/// As for [`fresh`].
pub fn fresh_id() -> Result<String> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).map_err(no_numbers)?;
    let mut id = "key_".to_owned();
    for byte in bytes {
        _ = write!(id, "{byte:02x}");
    }
    Ok(id)
}

fn no_numbers(error: getrandom::Error) -> Error {
    Error::new(Kind::Io, format!("no random numbers for a key: {error}"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn secrets_have_all_their_bits() {
        let secrets: HashSet<String> = (0..1_000).map(|_| fresh().unwrap()).collect();
        assert_eq!(secrets.len(), 1_000);
        let mut letters = HashSet::new();
        for secret in &secrets {
            let body = secret.strip_prefix(PREFIX).unwrap();
            assert_eq!(body.len(), 43, "256 bits are 42 letters and four bits");
            assert!(body.bytes().all(|letter| ALPHABET.contains(&letter)));
            letters.extend(body.bytes());
        }
        assert_eq!(letters.len(), 64);
    }

    #[test]
    fn a_digest_is_of_one_secret_and_shows_nothing() {
        let (a, b) = (Digest::of("frk_a"), Digest::of("frk_b"));
        assert!(a.is(&Digest::of("frk_a")) && !a.is(&b));
        assert!(Digest::kept(a.bytes()).unwrap().is(&a));
        assert!(Digest::kept(b"short").is_none());
        assert_eq!(format!("{a:?}"), "Digest");
        // FIPS 180-2, "abc".
        assert_eq!(Digest::of("abc").bytes()[..4], [0xba, 0x78, 0x16, 0xbf]);
    }

    #[test]
    fn ids_differ() {
        let ids: HashSet<String> = (0..1_000).map(|_| fresh_id().unwrap()).collect();
        assert_eq!(ids.len(), 1_000);
    }
}
