//! The hooks, one per file.

mod do_file_open_root;
mod do_filp_open;
mod file_open;
mod io_uring_complete;
mod mmap_file;
mod sched_process_exec;
mod sched_process_exit;
mod sched_process_fork;
mod sys_exit;
mod vm_mmap_pgoff;
