//! The numbers about a text that are kept instead of it: 149 bytes, from which routers can be fitted again.
//!
//! Layout, version 1: the version; the embedding as 64 signed bytes (127 is 1.0); the lexical features as 42 halves of
//! IEEE 754, little-endian.

use half::f16;

use crate::text::featuriser::Features;
use crate::text::lexical;
use crate::text::table::DIM;

/// What the first byte says.
pub const VERSION: u8 = 1;

/// Length of the packed form.
pub const BYTES: usize = 1 + DIM + 2 * lexical::COUNT;

/// The packed form of a text's features.
pub fn pack(features: &Features) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(BYTES);
    bytes.push(VERSION);
    // Of a vector of length 1, no entry is beyond 1.
    bytes.extend(features.embedding.iter().map(|entry| (entry.clamp(-1.0, 1.0) * 127.0).round() as i8 as u8));
    bytes.extend(features.lexical.iter().flat_map(|&entry| f16::from_f32(entry).to_le_bytes()));
    bytes
}

/// The features as far as the packed form keeps them; `None` for another version or length.
pub fn unpack(bytes: &[u8]) -> Option<Features> {
    let (&version, rest) = bytes.split_first()?;
    if version != VERSION || bytes.len() != BYTES {
        return None;
    }
    let (embedding, lexical) = rest.split_at(DIM);
    let mut features = Features { embedding: [0.0; DIM], lexical: [0.0; lexical::COUNT] };
    for (entry, &byte) in features.embedding.iter_mut().zip(embedding) {
        *entry = f32::from(byte as i8) / 127.0;
    }
    for (entry, &bytes) in features.lexical.iter_mut().zip(lexical.as_chunks::<2>().0) {
        *entry = f16::from_le_bytes(bytes).to_f32();
    }
    Some(features)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::featuriser::Featuriser;

    #[test]
    fn what_is_kept_is_near_what_was() {
        let featuriser = Featuriser::shared().unwrap();
        for text in ["", "Prove that there is no largest prime.", "hi", &"x = [1, 2]; ".repeat(3000)] {
            let features = featuriser.features(text);
            let packed = pack(&features);
            assert_eq!(packed.len(), BYTES);
            const { assert!(BYTES < 200) };
            let read = unpack(&packed).unwrap();
            for (was, is) in features.embedding.iter().zip(read.embedding) {
                assert!((was - is).abs() <= 0.5 / 127.0 + 1e-6, "{was} {is}");
            }
            for (was, is) in features.lexical.iter().zip(read.lexical) {
                assert!((was - is).abs() <= was.abs() / 1024.0 + 1e-6, "{was} {is}");
            }
        }
    }

    #[test]
    fn other_bytes_are_none() {
        assert_eq!(unpack(&[]), None);
        assert_eq!(unpack(&[VERSION; BYTES - 1]), None);
        assert_eq!(unpack(&[VERSION + 1; BYTES]), None);
    }
}
