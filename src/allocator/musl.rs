//! The allocator for musl. Its own returns larger blocks to the system when they are freed, so each message has to get new pages: an echo of
//! 64 KiB took three times as long as with glibc, and one of 1 MiB twice. Blocks of medium size come from dlmalloc. The others come from
//! musl: it returns the most memory where blocks are small, and large ones get a mapping of their own, as with the settings for glibc.

use dlmalloc::Dlmalloc;
use std::{
    alloc::{GlobalAlloc, Layout, System},
    ptr,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// From these on blocks are medium.
const MEDIUM: usize = 8 * 1024;
/// And from these on large.
const LARGE: usize = 4 << 20;

#[global_allocator]
static ALLOCATOR: Allocator = Allocator { medium: Mutex::new(Dlmalloc::new()) };

struct Allocator {
    medium: Mutex<Dlmalloc>,
}

impl Allocator {
    fn medium(&self) -> MutexGuard<'_, Dlmalloc> {
        self.medium.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_medium(size: usize) -> bool {
    (MEDIUM..LARGE).contains(&size)
}

#[expect(unsafe_code, reason = "an allocator is unsafe, and it pays: see the head of this file")]
// SAFETY: each block is freed by the allocator that it is from, since that follows from its size, which the caller gives.
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promises are those of both allocators.
        unsafe {
            if is_medium(layout.size()) {
                self.medium().malloc(layout.size(), layout.align())
            } else {
                System.alloc(layout)
            }
        }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        unsafe {
            if is_medium(layout.size()) {
                self.medium().calloc(layout.size(), layout.align())
            } else {
                System.alloc_zeroed(layout)
            }
        }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe {
            if is_medium(layout.size()) {
                self.medium().free(block, layout.size(), layout.align());
            } else {
                System.dealloc(block, layout);
            }
        }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as above. A block that changes allocators is copied: as much as both have, and they do not overlap.
        unsafe {
            match (is_medium(layout.size()), is_medium(size)) {
                (true, true) => self.medium().realloc(block, layout.size(), layout.align(), size),
                (false, false) => System.realloc(block, layout, size),
                _ => {
                    let moved = self.alloc(Layout::from_size_align_unchecked(size, layout.align()));
                    if !moved.is_null() {
                        ptr::copy_nonoverlapping(block, moved, size.min(layout.size()));
                        self.dealloc(block, layout);
                    }
                    moved
                }
            }
        }
    }
}

pub fn prepare() {}

pub fn take_cached_blocks() -> Vec<Vec<u8>> {
    Vec::new()
}

/// Returns free memory to the system.
#[expect(unsafe_code, reason = "its function is unsafe")]
pub fn trim() {
    // SAFETY: it accesses only free memory.
    unsafe { ALLOCATOR.medium().trim(0) };
}
