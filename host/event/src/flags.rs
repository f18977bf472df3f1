//! Open flags as text.

use std::fmt;

/// Open flags as the caller gave them. Displayed as the access mode and the other known flags: `O_RDWR|O_CREAT`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenFlags(pub u32);

impl OpenFlags {
    /// `O_TRUNC`.
    pub const TRUNC: u32 = 0o1000;

    // Values of x86-64, the only supported architecture.
    pub(super) const ACCESS: [(u32, &str); 3] = [(0, "O_RDONLY"), (1, "O_WRONLY"), (2, "O_RDWR")];
    pub(super) const OTHERS: [(u32, &str); 4] = [
        (0o100, "O_CREAT"),
        (0o200, "O_EXCL"),
        (OpenFlags::TRUNC, "O_TRUNC"),
        (0o2000, "O_APPEND"),
    ];
}

impl fmt::Display for OpenFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let access = Self::ACCESS.iter().find(|&&(value, _)| value == self.0 & 3);
        // The fourth value also requires both permissions.
        f.write_str(access.map_or("O_RDWR", |(_, name)| name))?;
        for (bit, name) in Self::OTHERS {
            if self.0 & bit != 0 {
                write!(f, "|{name}")?;
            }
        }
        Ok(())
    }
}

impl serde::Serialize for OpenFlags {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
