use core::fmt;

/// The numbers of the classes on the wire.
mod code {
    // registry classes: begin
    pub(super) const CONTROL: u8 = 0;
    pub(super) const MESSAGE: u8 = 1;
    pub(super) const INTERACTIVE: u8 = 2;
    pub(super) const BULK: u8 = 3;
    pub(super) const PREFETCH: u8 = 4;
    // registry classes: end
}

/// How urgent bytes are. Lower classes never delay higher ones by more than the frame in flight.
///
/// Spec: RFC 0005, section "Priorities".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
#[expect(clippy::exhaustive_enums, reason = "the five classes are fixed by RFC 0005")]
pub enum Class {
    /// Session control: credits, cancels, pings.
    Control = code::CONTROL,
    /// Small messages of the application.
    Message = code::MESSAGE,
    /// Somebody waits for these bytes: playback, a thumbnail, a manifest.
    Interactive = code::INTERACTIVE,
    /// Ordinary transfers.
    #[default]
    Bulk = code::BULK,
    /// Nobody asked yet.
    Prefetch = code::PREFETCH,
}

impl Class {
    /// All classes, most urgent first.
    pub const ALL: [Self; 5] =
        [Self::Control, Self::Message, Self::Interactive, Self::Bulk, Self::Prefetch];

    /// The class with this code on the wire, if there is one.
    #[must_use]
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            code::CONTROL => Some(Self::Control),
            code::MESSAGE => Some(Self::Message),
            code::INTERACTIVE => Some(Self::Interactive),
            code::BULK => Some(Self::Bulk),
            code::PREFETCH => Some(Self::Prefetch),
            _ => None,
        }
    }

    /// The code on the wire.
    #[must_use]
    pub const fn code(self) -> u8 {
        self as u8
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Control => "control",
            Self::Message => "message",
            Self::Interactive => "interactive",
            Self::Bulk => "bulk",
            Self::Prefetch => "prefetch",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_round_trip_and_unknown_codes_are_none() {
        for class in Class::ALL {
            assert_eq!(Class::from_code(class.code()), Some(class));
        }
        assert_eq!(Class::from_code(5), None);
    }
}
