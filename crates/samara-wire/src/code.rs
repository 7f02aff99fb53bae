//! Open code registries: enums that keep codes they do not know.

/// A code that this version does not know. Only decoding makes one, so it never shadows a code
/// that has a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnknownCode(pub(crate) u64);

impl UnknownCode {
    /// The code on the wire.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

macro_rules! codes {
    (
        $(#[$doc:meta])*
        pub enum $name:ident {
            $( $(#[$variant_doc:meta])* $variant:ident = $code:path, $text:literal; )+
        }
    ) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum $name {
            $( $(#[$variant_doc])* $variant, )+
            /// A code of a later version: treat it as [`Internal`](Self::Internal), see
            /// [`or_internal`](Self::or_internal).
            Unknown($crate::UnknownCode),
        }

        impl $name {
            /// Every code that has a name.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The meaning of a code on the wire.
            #[must_use]
            pub const fn from_code(code: u64) -> Self {
                match code {
                    $( $code => Self::$variant, )+
                    _ => Self::Unknown($crate::UnknownCode(code)),
                }
            }

            /// The code on the wire.
            #[must_use]
            pub const fn code(self) -> u64 {
                match self {
                    $( Self::$variant => $code, )+
                    Self::Unknown(code) => code.get(),
                }
            }

            /// What to act upon: the code itself if it is known, else
            /// [`Internal`](Self::Internal).
            #[must_use]
            pub const fn or_internal(self) -> Self {
                //= rfcs/0003-encoding.md#enc-27
                //# A receiver MUST act on a CLOSE or END code that it does not know as on the code
                //# for internal.
                match self {
                    Self::Unknown(_) => Self::Internal,
                    known => known,
                }
            }
        }

        impl core::fmt::Display for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                match self {
                    $( Self::$variant => f.write_str($text), )+
                    Self::Unknown(code) => write!(f, "unknown code {}", code.get()),
                }
            }
        }
    };
}

pub(crate) use codes;
