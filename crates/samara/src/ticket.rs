//! Tickets: one string that says what to fetch, where from, and by what right.
//!
//! A ticket goes through chats, e-mails, QR codes and hands, so it forgives what these do to text
//! (case, line breaks, quotes around it) and names what it cannot forgive.
//! Spec: RFC 0001, section "Tickets".
//!
//! ```
//! use samara::ticket::{Format, Provider, Ticket, TicketError};
//! use samara_base::{BlobId, PeerId};
//!
//! let provider = Provider::new(PeerId::from_bytes([7; 32]))
//!     .with_address("192.168.1.20:4433".parse()?)?
//!     .with_relay("https://relay.example.org")?;
//! let ticket = Ticket::new(BlobId::from_bytes([1; 32]), Format::Blob)
//!     .with_name(b"holiday.mp4")?
//!     .with_size(1_500_000_000)?
//!     .with_provider(provider)?;
//!
//! let text = ticket.to_string();
//! assert!(text.starts_with("samara1"));
//! let wrapped = format!("  \"{}\n{}\".", &text[..60], &text[60..]);
//! assert_eq!(wrapped.parse::<Ticket>()?, ticket);
//!
//! let typo = text.replacen('a', "b", 5);
//! assert!(typo.parse::<Ticket>().is_err());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use core::{fmt, str::FromStr};

use data_encoding::BASE32_NOPAD;
use samara_base::BlobId;
use samara_chunk::Rules;
use samara_wire::varint;

mod decode;
mod encode;
mod error;
mod provider;
mod text;

pub use error::{TicketBuildError, TicketError, TicketField};
pub use provider::Provider;

/// What every ticket of version 1 begins with. The digit is the version, and no letter of the rest.
pub const PREFIX: &str = "samara1";

// registry ticket-limits: begin
/// Longest ticket, prefix included, blanks excluded. It fits a QR code. Unit: characters.
pub const TICKET_TEXT_MAX: usize = 4096;

/// Most providers in a ticket.
pub const PROVIDERS_MAX: usize = 8;

/// Most addresses of one provider.
pub const ADDRESSES_MAX: usize = 8;

/// Longest relay URL. Unit: bytes.
pub const RELAY_BYTES_MAX: usize = 255;

/// Longest suggested file name. Unit: bytes.
pub const NAME_BYTES_MAX: usize = 255;
const SECRET_BYTES_MIN: usize = 16;
const SECRET_BYTES_MAX: usize = 32;

/// Length of the checksum at the end. Unit: bytes.
const CHECKSUM_LEN: usize = 4;
// registry ticket-limits: end

/// Shortest and longest secret. Unit: bytes.
pub const SECRET_BYTES: core::ops::RangeInclusive<usize> = SECRET_BYTES_MIN..=SECRET_BYTES_MAX;

/// Types of the fields. Even ones must be understood, odd ones may be skipped.
mod field {
    // registry ticket-fields: begin
    pub(super) const ROOT: u64 = 0;
    pub(super) const SIZE: u64 = 1;
    pub(super) const FORMAT: u64 = 2;
    pub(super) const NAME: u64 = 3;
    pub(super) const SECRET: u64 = 4;
    pub(super) const PROVIDERS: u64 = 5;
    // registry ticket-fields: end
}

/// Types of the fields of a provider.
mod provider_field {
    // registry provider-fields: begin
    pub(super) const IPV4: u64 = 1;
    pub(super) const IPV6: u64 = 3;
    pub(super) const RELAY: u64 = 5;
    // registry provider-fields: end
}

/// What the root may be.
mod format {
    // registry ticket-formats: begin
    pub(super) const BLOB: u64 = 0;
    pub(super) const COLLECTION: u64 = 1;
    // registry ticket-formats: end
}

/// What the root of a ticket is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Format {
    /// The bytes wanted.
    Blob,
    /// The manifest of a collection (RFC 0004).
    Collection,
}

impl Format {
    const fn code(self) -> u64 {
        match self {
            Self::Blob => format::BLOB,
            Self::Collection => format::COLLECTION,
        }
    }

    const fn from_code(code: u64) -> Option<Self> {
        match code {
            format::BLOB => Some(Self::Blob),
            format::COLLECTION => Some(Self::Collection),
            _ => None,
        }
    }
}

/// The right to fetch: bytes that only holders of the ticket know. `Debug` does not show them.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Secret {
    bytes: [u8; 32],
    len: u8,
}

impl Secret {
    /// A secret of 16 to 32 bytes.
    ///
    /// # Errors
    ///
    /// Another length.
    pub fn new(secret: &[u8]) -> Result<Self, TicketBuildError> {
        if !SECRET_BYTES.contains(&secret.len()) {
            return Err(TicketBuildError::SecretLength { found: secret.len() });
        }
        let mut bytes = [0; 32];
        bytes.iter_mut().zip(secret).for_each(|(to, from)| *to = *from);
        let len = u8::try_from(secret.len()).unwrap_or(32);
        Ok(Self { bytes, len })
    }

    /// The bytes, to be shown to providers and to nobody else.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or(&self.bytes)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({} bytes)", self.len)
    }
}

/// What to fetch, where from, and by what right. See the [module](self).
///
/// Whoever has the ticket can fetch what it names: it is as private as its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ticket {
    root: BlobId,
    format: Format,
    size: Option<u64>,
    name: Option<Vec<u8>>,
    secret: Option<Secret>,
    providers: Vec<Provider>,
}

impl Ticket {
    /// A ticket for this blob or collection, with no hints yet.
    #[must_use]
    pub const fn new(root: BlobId, format: Format) -> Self {
        Self { root, format, size: None, name: None, secret: None, providers: Vec::new() }
    }

    /// Says how large the content is: of the blob, or of all files of the collection. Unit: bytes.
    ///
    /// # Errors
    ///
    /// More than 2^62 - 1 bytes.
    pub fn with_size(mut self, size: u64) -> Result<Self, TicketBuildError> {
        if size > varint::MAX {
            return Err(TicketBuildError::Size);
        }
        self.size = Some(size);
        self.fits()
    }

    /// Suggests a file name: 1 to 255 bytes, UTF-8 or not.
    ///
    /// # Errors
    ///
    /// Another length, or the ticket grew too long.
    pub fn with_name(mut self, name: &[u8]) -> Result<Self, TicketBuildError> {
        if name.is_empty() || name.len() > NAME_BYTES_MAX {
            return Err(TicketBuildError::NameLength { found: name.len() });
        }
        self.name = Some(name.to_vec());
        self.fits()
    }

    /// Adds the right to fetch.
    ///
    /// # Errors
    ///
    /// The ticket grew too long.
    pub fn with_secret(mut self, secret: Secret) -> Result<Self, TicketBuildError> {
        self.secret = Some(secret);
        self.fits()
    }

    /// Adds somebody who has the content. The first provider is tried first.
    ///
    /// # Errors
    ///
    /// The peer is in the ticket already, there are 8 providers, or the ticket grew too long.
    pub fn with_provider(mut self, provider: Provider) -> Result<Self, TicketBuildError> {
        if self.providers.iter().any(|known| known.peer() == provider.peer()) {
            return Err(TicketBuildError::DuplicateProvider);
        }
        if self.providers.len() >= PROVIDERS_MAX {
            return Err(TicketBuildError::TooManyProviders);
        }
        self.providers.push(provider);
        self.fits()
    }

    /// The blob, or the manifest of the collection.
    #[must_use]
    pub const fn root(&self) -> BlobId {
        self.root
    }

    /// What the root is.
    #[must_use]
    pub const fn format(&self) -> Format {
        self.format
    }

    /// How large the content is said to be: a hint for display, never proof. Unit: bytes.
    #[must_use]
    pub const fn size(&self) -> Option<u64> {
        self.size
    }

    /// The suggested file name as it is in the ticket: any bytes, dangerous ones included. Use
    /// [`file_name`](Self::file_name) to make a file.
    #[must_use]
    pub fn raw_name(&self) -> Option<&[u8]> {
        self.name.as_deref()
    }

    /// The suggested file name, made safe to create under `rules`: one component, not reserved,
    /// without control characters.
    #[must_use]
    pub fn file_name(&self, rules: &Rules) -> Option<Vec<u8>> {
        //= rfcs/0001-architecture.md#ticket-9
        //# A program MUST replace what RFC 0004 refuses in a name before it uses the name of a
        //# ticket as a file name.
        self.name.as_deref().map(|name| rules.sanitise(name))
    }

    /// The right to fetch, if the provider asks for one.
    #[must_use]
    pub const fn secret(&self) -> Option<&Secret> {
        self.secret.as_ref()
    }

    /// Who has the content, in the order in which to try. May be empty: then ask the neighbours.
    #[must_use]
    pub fn providers(&self) -> &[Provider] {
        &self.providers
    }

    /// Refuses a ticket that became too long to paste.
    fn fits(self) -> Result<Self, TicketBuildError> {
        let found = encode::text_len(encode::body(&self).len());
        if found > TICKET_TEXT_MAX {
            return Err(TicketBuildError::TooLong { found });
        }
        Ok(self)
    }
}

impl fmt::Display for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        //= rfcs/0001-architecture.md#ticket-1
        //# A writer MUST encode a ticket in the one form that this section gives.
        let text = BASE32_NOPAD.encode(&encode::sealed(&encode::body(self)));
        f.write_str(PREFIX)?;
        f.write_str(&text.to_ascii_lowercase())
    }
}

impl FromStr for Ticket {
    type Err = TicketError;

    /// Reads a ticket. Blanks and line breaks anywhere, quotes, brackets and punctuation around it
    /// and the case of letters do not matter.
    fn from_str(text: &str) -> Result<Self, TicketError> {
        //= rfcs/0001-architecture.md#ticket-2
        //# A reader MUST accept a ticket in any mix of ASCII case, with blanks between its
        //# characters and with quotes, brackets or punctuation around it.
        let body = text::open(text)?;
        decode::body(&body)
    }
}

/// The text of a ticket with these fields, right or wrong, and a checksum that agrees.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) fn forge(body: &[u8]) -> String {
    let text = BASE32_NOPAD.encode(&encode::sealed(body));
    format!("{PREFIX}{}", text.to_ascii_lowercase())
}

#[cfg(test)]
mod tests;
