//! The heap of this process.

/// Gives free pages back to the kernel. glibc keeps them otherwise, wherever something lives behind them (malloc_trim(3)).
pub fn trim() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it takes the allocator's own locks, touches no memory that is in use, and may be called at any time.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Bytes of a block from which on it is mapped by itself, and goes back to the kernel when it is freed: what glibc begins with.
#[cfg(target_env = "gnu")]
const LARGE: libc::c_int = 128 * 1024;
/// Heaps that threads share.
#[cfg(target_env = "gnu")]
const ARENAS: libc::c_int = 2;

/// For a process that runs for long, has bursts, and allocates little between them. By itself, glibc keeps up to 64 MiB at the end of each heap once
/// large blocks were freed, and makes a heap for nearly every thread (mallopt(3): M_MMAP_THRESHOLD, M_ARENA_MAX). To be called
/// before there are threads.
pub fn keep_little() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it changes numbers of the allocator under its own lock; nobody else allocates yet.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE);
        libc::mallopt(libc::M_ARENA_MAX, ARENAS);
    }
}
