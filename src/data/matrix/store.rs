//! Memory for large matrices: from the system by pages, or a file's pages.

use std::fmt;
use std::fs::File;

use memmap2::{Mmap, MmapMut};

/// Numbers that may take most of the memory, in one piece. Those of a file are read when they are looked at.
pub struct Numbers {
    memory: Memory,
    /// Bytes before the first number.
    start: usize,
    len: usize,
}

enum Memory {
    Own(MmapMut),
    File(Mmap),
}

impl Numbers {
    /// So many zeros; None when the system does not give the memory.
    pub fn zeros(len: usize) -> Option<Self> {
        let bytes = len.checked_mul(size_of::<f32>()).filter(|&bytes| isize::try_from(bytes).is_ok())?;
        let memory = MmapMut::map_anon(bytes.max(1)).ok()?;
        // Pages of 2 MiB: a pass over the matrix else misses the processor's table of pages at every second row.
        #[cfg(target_os = "linux")]
        let _ = memory.advise(memmap2::Advice::HugePage);
        Some(Self { memory: Memory::Own(memory), start: 0, len })
    }

    /// `len` little-endian numbers of a file, from byte `start` on, which is a multiple of 4. None when the file is too
    /// short, or cannot be mapped.
    pub fn of_file(file: &File, start: usize, len: usize) -> Option<Self> {
        if cfg!(target_endian = "big") || !start.is_multiple_of(size_of::<f32>()) {
            return None;
        }
        // SAFETY: a file that somebody changes meanwhile gives other numbers, and one that is cut ends the process: the
        // documentation of saved indexes asks for replacing files, which is how they are written.
        let map = unsafe { Mmap::map(file) }.ok()?;
        let end = len.checked_mul(size_of::<f32>())?.checked_add(start)?;
        (end <= map.len()).then_some(Self { memory: Memory::File(map), start, len })
    }

    /// All numbers.
    pub fn values(&self) -> &[f32] {
        let start = match &self.memory {
            Memory::Own(memory) => memory.as_ptr(),
            Memory::File(map) => map.as_ptr(),
        };
        // SAFETY: maps begin at a page, `start` is a multiple of 4, and the constructors have compared the length; any
        // bits are an f32.
        unsafe { std::slice::from_raw_parts(start.add(self.start).cast(), self.len) }
    }

    /// All numbers; none of a file, which is not to be changed.
    pub fn values_mut(&mut self) -> &mut [f32] {
        let Memory::Own(memory) = &mut self.memory else { return &mut [] };
        // SAFETY: as in `values`.
        unsafe { std::slice::from_raw_parts_mut(memory.as_mut_ptr().cast(), self.len) }
    }

    /// Asks the system to read a file's numbers ahead.
    pub fn will_need(&self) {
        #[cfg(unix)]
        if let Memory::File(map) = &self.memory {
            let _ = map.advise(memmap2::Advice::WillNeed);
        }
    }
}

impl fmt::Debug for Numbers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Numbers({})", self.len)
    }
}
