//! The heap of this process.

/// Gives free pages back to the kernel. glibc keeps them otherwise, wherever something lives behind them (malloc_trim(3)).
pub fn trim() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it takes the allocator's own locks, touches no memory that is in use, and may be called at any time.
    unsafe {
        libc::malloc_trim(0);
    }
}
