//! The description of a kernel field that the BPF programs read.

use crypto_tracer_common::fixed::Offsets;

use crate::btf::{Btf, Member};

/// The purpose of a field. A probe is unavailable if the kernel lacks a field of a group that it needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OffsetGroup {
    /// The task, its process and its parent: used by all programs.
    Task,
    /// A file, its inode and its path.
    File,
    /// The file of a descriptor.
    Descriptor,
    /// The result of a mapping.
    Mapping,
    /// The number and the arguments of a system call.
    SystemCall,
    /// io_uring requests.
    Uring,
    /// The executable and the arguments of a new program.
    Exec,
    /// The exit status.
    Exit,
    /// overlayfs's private mounts.
    Overlay,
    /// The flags that the caller of an open passed.
    OpenFlags,
    /// Cgroup v1. Without these fields, containers are identified by the unified hierarchy only.
    Controllers,
}

/// Nested members as (struct, field), outermost first. The offset is the sum of theirs.
pub(crate) type FieldChain = &'static [(&'static str, &'static str)];

/// A field that the programs read.
#[derive(Debug)]
pub(crate) struct KernelField {
    pub(crate) group: OffsetGroup,
    /// The alternatives, newest kernel first: some fields were renamed or moved.
    pub(crate) chains: &'static [FieldChain],
    pub(crate) width: FieldWidth,
    /// The field's offset in [`Offsets`].
    pub(crate) slot: fn(&mut Offsets) -> &mut u32,
}

/// The required size of a field, so that a changed kernel is detected and not misread.
#[derive(Clone, Copy, Debug)]
pub(crate) enum FieldWidth {
    /// Size in bytes.
    Is(u32),
    /// Any size: a struct or an array of which the programs read the beginning.
    Any,
}

impl KernelField {
    /// Returns the field's offset in bytes; `None` if the kernel does not have it, or in another size.
    pub(crate) fn resolve(&self, btf: &Btf) -> Option<u32> {
        self.chains.iter().find_map(|chain| resolve(btf, chain, self.width))
    }

    /// Returns the name in the newest kernel, as `struct.field/struct.field`.
    pub(crate) fn name(&self) -> String {
        let newest = self.chains.first().copied().unwrap_or_default();
        let words: Vec<String> = newest.iter().map(|(of, name)| format!("{of}.{name}")).collect();
        words.join("/")
    }
}

fn resolve(btf: &Btf, chain: FieldChain, width: FieldWidth) -> Option<u32> {
    let mut offset = 0_u32;
    let mut last: Option<Member> = None;
    for (of, name) in chain {
        let member = btf.member(of, name)?;
        offset = offset.checked_add(member.offset)?;
        last = Some(member);
    }
    match width {
        FieldWidth::Is(size) if last?.size != Some(size) => None,
        FieldWidth::Is(_) | FieldWidth::Any => Some(offset),
    }
}

/// Declares a table of [`KernelField`]s. An entry is the field of [`Offsets`], the width, and the alternatives.
macro_rules! kernel_fields {
    ($(#[$doc:meta])* $table:ident:
        $($group:ident { $($slot:ident: $width:expr, $([$($struct:literal.$field:literal)/+])|+;)+ })+) => {
        $(#[$doc])*
        pub(crate) const $table: &[$crate::kernel_field::KernelField] = {
            use $crate::kernel_field::{FieldWidth::*, KernelField, OffsetGroup};
            &[$($(KernelField {
                group: OffsetGroup::$group,
                chains: &[$(&[$(($struct, $field)),+]),+],
                width: $width,
                slot: |offsets| &mut offsets.$slot,
            },)+)+]
        };
    };
}
pub(crate) use kernel_fields;
