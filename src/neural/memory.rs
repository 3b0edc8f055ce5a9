//! Room for packed weights: zeroed, aligned to a cache line, in huge pages where it is large.

use memmap2::MmapMut;

/// From this size on the system is asked for pages of its own.
const LARGE: usize = 1 << 20;

/// A cache line.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
pub(super) struct Line([u8; 64]);

/// Bytes, zero at first.
#[derive(Debug)]
pub(super) enum Memory {
    Lines(Vec<Line>, usize),
    Pages(MmapMut),
}

impl Memory {
    /// `len` zeros.
    pub(super) fn zeros(len: usize) -> Self {
        if len >= LARGE
            && let Ok(pages) = MmapMut::map_anon(len)
        {
            // Weights are read from end to end: with small pages every 4 KiB costs a walk through the page tables.
            #[cfg(target_os = "linux")]
            let _ = pages.advise(memmap2::Advice::HugePage);
            return Self::Pages(pages);
        }
        Self::Lines(vec![Line([0; 64]); len.div_ceil(64)], len)
    }

    /// All of it.
    pub(super) fn bytes(&self) -> &[u8] {
        match self {
            Self::Pages(pages) => pages,
            // SAFETY: `zeros` has made lines enough for `len` bytes.
            Self::Lines(lines, len) => unsafe { std::slice::from_raw_parts(lines.as_ptr().cast(), *len) },
        }
    }

    /// All of it, to be written.
    pub(super) fn bytes_mut(&mut self) -> &mut [u8] {
        match self {
            Self::Pages(pages) => pages,
            // SAFETY: as in `bytes`.
            Self::Lines(lines, len) => unsafe { std::slice::from_raw_parts_mut(lines.as_mut_ptr().cast(), *len) },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_and_large_rooms_are_zero_aligned_and_of_the_length_asked_for() {
        for len in [0, 1, 63, 64, 65, LARGE - 1, LARGE, LARGE + 1, 3 * LARGE] {
            let mut memory = Memory::zeros(len);
            assert_eq!(memory.bytes().len(), len);
            assert!(memory.bytes().iter().all(|&byte| byte == 0));
            assert!(len == 0 || memory.bytes().as_ptr().addr().is_multiple_of(64));
            memory.bytes_mut().fill(7);
            assert!(memory.bytes().iter().all(|&byte| byte == 7));
        }
    }
}
