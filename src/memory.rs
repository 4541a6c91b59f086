//! Settings of glibc's allocator. Others return free memory by themselves.

/// Buffers of at least this many bytes are mapped one by one and unmapped when they are freed. By default glibc raises this
/// limit to the largest buffer that was freed, up to 32 MiB, and malloc_trim does not reach what is free at the end of a heap:
/// two or three of the longest messages stayed.
#[cfg(target_env = "gnu")]
const LARGE: libc::c_int = 4 << 20;

/// Sets limits of the allocator. To be called before there are threads: each would allocate from a heap of its own, and what
/// is free at the end of any but the first is never returned. After a busy room with stuck members had been left, 12 to 64 MB
/// stayed where 7 do. A delivery takes no more time for it, since glibc caches small blocks for each thread and batches are
/// few.
#[cfg(target_env = "gnu")]
#[expect(unsafe_code, reason = "there is no safe way to mallopt, and without it long messages stay in memory")]
pub fn prepare() {
    // SAFETY: mallopt(3) takes two numbers; these parameters may be set at any time.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
        libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE);
        libc::mallopt(libc::M_TRIM_THRESHOLD, LARGE);
    }
}

#[cfg(not(target_env = "gnu"))]
pub fn prepare() {}

/// Takes the blocks that glibc caches for the calling thread, up to 7 of each size; each of them keeps its page. They are to be
/// freed on a thread that ends: freed on this one they would be cached again.
#[cfg(target_env = "gnu")]
pub fn take_cached_blocks() -> Vec<Vec<u8>> {
    /// Blocks of each size: 24 bytes, and 16 more each time (glibc.malloc.tcache_count in glibc's manual).
    const BLOCKS: usize = 7;
    (24..=1032).step_by(16).flat_map(|size| std::iter::repeat_n(size, BLOCKS)).map(Vec::with_capacity).collect()
}

#[cfg(not(target_env = "gnu"))]
pub fn take_cached_blocks() -> Vec<Vec<u8>> {
    Vec::new()
}

/// Returns free memory to the system. glibc by itself returns only the end of a heap, and there is always something in use near
/// it: after 10,000 members in as many rooms had left, 32 MB of 32 stayed; with this 7 do, 5.8 of which the server takes at its
/// start.
#[cfg(target_env = "gnu")]
#[expect(unsafe_code, reason = "there is no safe way to malloc_trim, and without it the memory is never given back")]
pub fn trim() {
    // SAFETY: malloc_trim(3) takes a number, is thread-safe, and touches only memory that is free.
    unsafe { libc::malloc_trim(0) };
}

#[cfg(not(target_env = "gnu"))]
pub fn trim() {}
