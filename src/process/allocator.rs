use std::alloc::System;

use zeroizing_alloc::ZeroAlloc;

/// The system's allocator, wiping what it frees, also what it frees to grow. It reaches the copies
/// of plaintext that parsers, templates and HTTP clients make where no wiping type does.
pub type Allocator = ZeroAlloc<System>;

/// What a binary declares as its `#[global_allocator]`.
pub const ALLOCATOR: Allocator = ZeroAlloc(System);

#[cfg(test)]
mod tests {
    use std::alloc::{GlobalAlloc, Layout};
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// Counts the bytes that are not zero when they come back.
    #[derive(Default)]
    struct Witness(AtomicUsize);

    // SAFETY: everything is the system's allocator; it only looks before it frees.
    unsafe impl GlobalAlloc for &Witness {
        unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
            // SAFETY: the caller's promise is passed on.
            unsafe { System.alloc(layout) }
        }

        unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
            // SAFETY: the block is still allocated and the test initialised all of it.
            let bytes = unsafe { std::slice::from_raw_parts(block, layout.size()) };
            self.0.fetch_add(bytes.iter().filter(|byte| **byte != 0).count(), Ordering::Relaxed);
            // SAFETY: the caller's promise is passed on.
            unsafe { System.dealloc(block, layout) }
        }
    }

    #[test]
    fn memory_is_wiped_before_it_is_freed_and_when_it_grows() {
        let witness = Witness::default();
        let allocator = ZeroAlloc(&witness);
        let layout = Layout::from_size_align(64, 8).unwrap();
        let grown = Layout::from_size_align(4096, 8).unwrap();
        // SAFETY: each block is used within its layout and freed once, with its own layout.
        unsafe {
            let block = allocator.alloc(layout);
            block.write_bytes(0xaa, layout.size());
            let block = allocator.realloc(block, layout, grown.size());
            assert_eq!(*block, 0xaa);
            block.write_bytes(0xbb, grown.size());
            allocator.dealloc(block, grown);
        }
        assert_eq!(witness.0.load(Ordering::Relaxed), 0, "bytes came back unwiped");
    }
}
