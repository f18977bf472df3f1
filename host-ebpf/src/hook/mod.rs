//! The hooks, one a file.

mod io_uring_complete;
mod sched_process_exec;
mod sched_process_exit;
mod sys_exit;
