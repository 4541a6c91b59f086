//! How glibc's allocator is set up. Others do what is wanted here by themselves.

/// Buffers from this size on are mapped on their own and unmapped when they are freed. glibc's own limit follows the
/// largest buffer that was freed, up to 32 MiB, and malloc_trim does not reach what is free at the end of a heap: two or
/// three of the longest messages stayed.
#[cfg(target_env = "gnu")]
const LARGE: libc::c_int = 4 << 20;

/// To be called before there are threads: each would allocate from a heap of its own, and what is free at the end of any but
/// the first is never given back. After a busy room with stuck members had been left, 12 to 64 MB stayed where 7 do. A
/// delivery takes no more time for it, since threads keep small pieces at hand and batches are few.
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

/// glibc keeps some of the pieces that a thread has freed at hand for it, and each of them keeps its page: after 10,000
/// members in as many rooms had left, 3 MB stayed with three threads, half of what the server takes in all. Whoever asks for
/// as many pieces gets those.
#[cfg(target_env = "gnu")]
pub fn at_hand() -> Vec<Vec<u8>> {
    /// So many of each size: 24 bytes, and 16 more each time (glibc.malloc.tcache_count in glibc's manual).
    const PIECES: usize = 7;
    (24..=1032).step_by(16).flat_map(|size| std::iter::repeat_n(size, PIECES)).map(Vec::with_capacity).collect()
}

#[cfg(not(target_env = "gnu"))]
pub fn at_hand() -> Vec<Vec<u8>> {
    Vec::new()
}

/// Gives back what is free. glibc gives only the end of a heap back by itself, and there is always something in use near it.
/// 8,000 members in as many rooms took 72 MB, of which 71 stayed for good after all had left; with this 15 do.
#[cfg(target_env = "gnu")]
#[expect(unsafe_code, reason = "there is no safe way to malloc_trim, and without it the memory is never given back")]
pub fn trim() {
    // SAFETY: malloc_trim(3) takes a number, is thread-safe, and touches only memory that is free.
    unsafe { libc::malloc_trim(0) };
}

#[cfg(not(target_env = "gnu"))]
pub fn trim() {}
