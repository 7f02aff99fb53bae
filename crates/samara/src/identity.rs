//! The node's secret: who it is to peers, and what it signs tickets' rights with.

#[cfg(feature = "iroh")]
use std::{fs, io, path::Path};

use samara_base::BlobId;

/// File in the store's directory that holds the secret key.
#[cfg(feature = "iroh")]
const FILE: &str = "identity";

/// An Ed25519 secret key.
#[derive(Clone)]
pub(crate) struct Identity {
    secret: [u8; 32],
}

impl Identity {
    pub(crate) const fn from_secret(secret: [u8; 32]) -> Self {
        Self { secret }
    }

    /// The identity in a file: 32 bytes.
    #[cfg(any(feature = "iroh", feature = "fuzzing", test))]
    pub(crate) fn decode(file: &[u8]) -> Option<Self> {
        file.try_into().ok().map(Self::from_secret)
    }

    /// Reads the identity of a store, or makes one.
    #[cfg(feature = "iroh")]
    pub(crate) fn load_or_create(directory: &Path) -> io::Result<Self> {
        let path = directory.join(FILE);
        match fs::read(&path) {
            Ok(bytes) => Self::decode(&bytes).ok_or_else(|| {
                let text = format!(
                    "{} has {} bytes instead of 32: restore it, or remove it to get a new identity",
                    path.display(),
                    bytes.len()
                );
                io::Error::new(io::ErrorKind::InvalidData, text)
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let mut secret = [0; 32];
                getrandom::fill(&mut secret).map_err(io::Error::other)?;
                write_private(&path, &secret)?;
                Ok(Self { secret })
            }
            Err(error) => Err(error),
        }
    }

    #[cfg(any(feature = "iroh", feature = "fuzzing", test))]
    pub(crate) const fn secret(&self) -> &[u8; 32] {
        &self.secret
    }

    /// The right to a blob that this node shares: the same whenever it is shared again, and nobody
    /// else can compute it.
    pub(crate) fn right(&self, root: &BlobId) -> [u8; 16] {
        let key = blake3::derive_key("samara 2026 ticket right", &self.secret);
        let hash = blake3::keyed_hash(&key, root.as_bytes());
        core::array::from_fn(|at| hash.as_bytes()[at])
    }

    /// A port that stays the same from one start to the next, so that tickets do.
    #[cfg(feature = "iroh")]
    pub(crate) fn preferred_port(&self) -> u16 {
        let key = blake3::derive_key("samara 2026 preferred port", &self.secret);
        49_152 + (u16::from_le_bytes([key[0], key[1]]) % 16_384)
    }
}

/// Writes a file that only its owner may read, whole or not at all.
#[cfg(feature = "iroh")]
fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    use std::io::Write as _;
    let staged = path.with_extension("new");
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&staged)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&staged, path)
}
