//! Opens relative to a given root path: open_by_handle_at.

use aya_ebpf::{macros::fexit, programs::FExitContext};

use super::do_filp_open::opened;

/// `struct file *do_file_open_root(const struct path *root, const char *name, const struct open_flags *op)`
#[fexit(function = "do_file_open_root")]
pub(crate) fn do_file_open_root(ctx: FExitContext) -> i32 {
    unsafe { opened(ctx.arg(3), ctx.arg::<*const u8>(2) as u64) };
    0
}
