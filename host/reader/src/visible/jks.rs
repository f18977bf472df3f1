//! Certificates of Java keystores: JKS, and JCEKS without secret keys. The certificates are not encrypted; private keys are,
//! and are skipped.

const JKS: &[u8] = b"\xfe\xed\xfe\xed";
const JCEKS: &[u8] = b"\xce\xce\xce\xce";

/// Tags of entries.
const PRIVATE_KEY: u32 = 1;
const TRUSTED_CERTIFICATE: u32 = 2;

/// Returns the DER certificates of a keystore, one after the other, up to the first entry that cannot be read. `None`:
/// `content` is not a keystore.
pub(super) fn certificates(content: &[u8]) -> Option<Vec<u8>> {
    let rest = content.strip_prefix(JKS).or_else(|| content.strip_prefix(JCEKS))?;
    let mut certificates = Vec::new();
    // The end of a truncated or damaged keystore.
    let _end = entries(&mut Input(rest), &mut certificates);
    Some(certificates)
}

/// Appends the certificates of all entries. `None`: an entry cannot be read.
fn entries(input: &mut Input<'_>, certificates: &mut Vec<u8>) -> Option<()> {
    let version = input.u32()?;
    for _ in 0..input.u32()? {
        let tag = input.u32()?;
        let _alias = input.text()?;
        let _created = input.take(8)?;
        let count = match tag {
            PRIVATE_KEY => {
                let _encrypted = input.counted()?;
                input.u32()?
            }
            TRUSTED_CERTIFICATE => 1,
            // A secret key is a serialized Java object of unknown length.
            _ => return None,
        };
        for _ in 0..count {
            if version > 1 {
                let _kind = input.text()?;
            }
            let certificate = input.counted()?;
            if super::pkcs7::is_certificate(certificate) {
                certificates.extend_from_slice(certificate);
            }
        }
    }
    Some(())
}

/// The rest of the keystore.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take(4)?.try_into().ok().map(u32::from_be_bytes)
    }

    /// Bytes after their length.
    fn counted(&mut self) -> Option<&'a [u8]> {
        let len = self.u32()?;
        self.take(usize::try_from(len).ok()?)
    }

    /// A text in the encoding of `DataOutput.writeUTF`.
    fn text(&mut self) -> Option<&'a [u8]> {
        let len: [u8; 2] = self.take(2)?.try_into().ok()?;
        self.take(u16::from_be_bytes(len).into())
    }
}
