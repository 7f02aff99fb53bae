use core::fmt;

use samara_base::BlobId;

use super::{
    ADDRESSES_MAX, NAME_BYTES_MAX, PROVIDERS_MAX, RELAY_BYTES_MAX, SECRET_BYTES, TICKET_TEXT_MAX,
};

/// A field of a ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TicketField {
    /// The list of fields itself.
    Fields,
    /// The blob id.
    Root,
    /// Blob or collection.
    Format,
    /// The size hint.
    Size,
    /// The suggested file name.
    Name,
    /// The right to fetch.
    Secret,
    /// The providers.
    Providers,
    /// An address of a provider.
    Address,
    /// The relay of a provider.
    Relay,
}

impl fmt::Display for TicketField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fields => "list of fields",
            Self::Root => "blob id",
            Self::Format => "format",
            Self::Size => "size",
            Self::Name => "name",
            Self::Secret => "secret",
            Self::Providers => "list of providers",
            Self::Address => "address of a provider",
            Self::Relay => "relay of a provider",
        })
    }
}

/// Why a text is not a ticket. Each way to mangle one has its own answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TicketError {
    /// There is no text.
    Empty,
    /// The text does not begin with `samara` and a version digit.
    NotATicket,
    /// The text is a blob id. Somebody copied the wrong line.
    BlobId(BlobId),
    /// The ticket was made by a newer version.
    NewerVersion {
        /// The digit found.
        version: char,
    },
    /// A character that no ticket has.
    Character {
        /// Which one, counted from 1 in the text as given.
        position: usize,
        /// The character.
        found: char,
    },
    /// The end is missing.
    Truncated {
        /// Characters missing, at least.
        missing: usize,
    },
    /// Something follows the ticket, or was pasted into it.
    Extra {
        /// Characters too many.
        extra: usize,
    },
    /// The checksum does not agree.
    Checksum,
    /// More than [`TICKET_TEXT_MAX`] characters.
    TooLong,
    /// A field that must be understood and is not.
    UnknownField {
        /// The type of the field.
        kind: u64,
    },
    /// The checksum agrees and the content is still wrong: the program that made the ticket is
    /// faulty.
    Malformed {
        /// The field that is wrong.
        field: TicketField,
    },
}

impl fmt::Display for TicketError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("the ticket is empty"),
            Self::NotATicket => f.write_str(
                "this is not a Samara ticket: a ticket begins with `samara1`; copy it from there on",
            ),
            Self::BlobId(id) => write!(
                f,
                "this is a blob id ({}...); a ticket begins with `samara1` and also says who has \
                 the blob",
                id.fmt_short()
            ),
            Self::NewerVersion { version } => write!(
                f,
                "this ticket was made by a newer version of Samara (ticket version {version}); \
                 update Samara"
            ),
            Self::Character { position, found } => write!(
                f,
                "character {position} ({found:?}) cannot be part of a ticket, which has only the \
                 letters a to z and the digits 2 to 7 after `samara1`; copy the ticket again"
            ),
            Self::Truncated { missing } => write!(
                f,
                "the ticket is cut off; characters missing at its end, at least: {missing}; copy all \
                 of it"
            ),
            Self::Extra { extra } => write!(
                f,
                "the ticket is too long, by characters: {extra}; copy only the ticket, without the \
                 text around it"
            ),
            Self::Checksum => {
                f.write_str("one or more characters of the ticket are wrong: copy it again")
            }
            Self::TooLong => {
                write!(f, "a ticket has at most {TICKET_TEXT_MAX} characters; this has more")
            }
            Self::UnknownField { kind } => write!(
                f,
                "this ticket needs something that this version of Samara does not know (field \
                 {kind}); update Samara"
            ),
            Self::Malformed { field } => write!(
                f,
                "the ticket was copied correctly, but its {field} is invalid: the program that \
                 made it is faulty; ask for a new ticket"
            ),
        }
    }
}

impl core::error::Error for TicketError {}

/// Why a ticket cannot be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TicketBuildError {
    /// The size is above 2^62 - 1 bytes.
    Size,
    /// The name is empty or longer than [`NAME_BYTES_MAX`].
    NameLength {
        /// Its length. Unit: bytes.
        found: usize,
    },
    /// The secret is shorter or longer than [`SECRET_BYTES`].
    SecretLength {
        /// Its length. Unit: bytes.
        found: usize,
    },
    /// The peer is in the ticket already.
    DuplicateProvider,
    /// There are [`PROVIDERS_MAX`] providers already.
    TooManyProviders,
    /// There are [`ADDRESSES_MAX`] addresses already.
    TooManyAddresses,
    /// The address has port 0, where nobody can be called. Look up which port the system chose.
    Port,
    /// The relay URL is empty, longer than [`RELAY_BYTES_MAX`] or has blanks or control characters.
    Relay,
    /// The ticket would have more than [`TICKET_TEXT_MAX`] characters. Leave providers out.
    TooLong {
        /// Its length. Unit: characters.
        found: usize,
    },
}

impl fmt::Display for TicketBuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Size => f.write_str("the size is above 2^62 - 1 bytes"),
            Self::NameLength { found } => {
                write!(f, "a name has 1 to {NAME_BYTES_MAX} bytes, this has {found}")
            }
            Self::SecretLength { found } => {
                let (min, max) = SECRET_BYTES.into_inner();
                write!(f, "a secret has {min} to {max} bytes, this has {found}")
            }
            Self::DuplicateProvider => f.write_str("the peer is in the ticket already"),
            Self::TooManyProviders => {
                write!(f, "a ticket has at most {PROVIDERS_MAX} providers")
            }
            Self::TooManyAddresses => {
                write!(f, "a provider has at most {ADDRESSES_MAX} addresses")
            }
            Self::Port => f.write_str("an address of a provider has no port 0"),
            Self::Relay => write!(
                f,
                "a relay URL has 1 to {RELAY_BYTES_MAX} bytes without blanks and control characters"
            ),
            Self::TooLong { found } => {
                write!(f, "the ticket would have {found} characters, more than {TICKET_TEXT_MAX}")
            }
        }
    }
}

impl core::error::Error for TicketBuildError {}
