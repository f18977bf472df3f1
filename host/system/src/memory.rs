//! Memory of this process: the allocator, and the pages of the program itself.

/// Returns free heap memory to the kernel, for instance after setup, which allocates tens of megabytes for a moment.
pub fn give_back() {
    // SAFETY: malloc_trim releases only memory that is not allocated.
    unsafe { libc::malloc_trim(0) };
}

/// Removes the program's code and constants from the resident set. Pages that are needed again are mapped again from the page
/// cache, on access.
///
/// Most of these pages are used only during the start: parsers, the compiler, the built-in BPF object and plugins.
pub fn drop_startup_pages() {
    // SAFETY: the callback has the required signature, and the list of loaded objects does not change meanwhile.
    unsafe { libc::dl_iterate_phdr(Some(drop_segments), std::ptr::null_mut()) };
}

/// Callback of `dl_iterate_phdr(3)` for one loaded object.
unsafe extern "C" fn drop_segments(
    object: *mut libc::dl_phdr_info,
    _size: libc::size_t,
    _data: *mut libc::c_void,
) -> libc::c_int {
    let page = rustix::param::page_size() as u64;
    // SAFETY: the C library passes a valid object, whose headers are `dlpi_phnum` entries.
    let (base, headers) = unsafe {
        let object = &*object;
        let count = usize::from(object.dlpi_phnum);
        (object.dlpi_addr, std::slice::from_raw_parts(object.dlpi_phdr, count))
    };
    // A segment that is not writable holds exactly the file's content: the relocated constants (RELRO) are part of a
    // writable segment.
    let is_read_only = |header: &&libc::Elf64_Phdr| {
        header.p_type == libc::PT_LOAD && header.p_flags & libc::PF_W == 0
    };
    for header in headers.iter().filter(is_read_only) {
        let start = base.wrapping_add(header.p_vaddr);
        let end = start.wrapping_add(header.p_memsz).next_multiple_of(page);
        let start = start / page * page;
        let length = end.wrapping_sub(start) as usize;
        // SAFETY: the range is a private, read-only mapping of a file, so its pages have no changes that would be lost. A
        // failure, as for the vDSO, changes nothing.
        unsafe { libc::madvise(start as *mut libc::c_void, length, libc::MADV_DONTNEED) };
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes of the resident set that are file pages.
    fn resident_file_bytes() -> u64 {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("RssFile:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
    }

    #[test]
    fn the_program_runs_on_with_fewer_resident_pages() {
        static CONSTANTS: [u8; 4 << 20] = {
            let mut constants = [0; 4 << 20];
            constants[4_000_000] = 7;
            constants
        };
        let sum =
            || CONSTANTS.iter().map(|&byte| u64::from(std::hint::black_box(byte))).sum::<u64>();
        assert_eq!(sum(), 7);
        let before = resident_file_bytes();
        drop_startup_pages();
        let after = resident_file_bytes();
        assert!(after + (3 << 20) < before, "{before} before, {after} after");
        assert_eq!(sum(), 7);
        // Relocated constants and the thread's state are still there.
        assert_eq!(std::thread::spawn(|| format!("{:?}", Some(1.5))).join().unwrap(), "Some(1.5)");
    }
}
