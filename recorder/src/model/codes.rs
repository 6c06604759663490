//! Enums that are stored as stable numbers and shown by name.

/// Structs only in stored bodies: an enum goes as its stable number.
macro_rules! serde_as_code {
    ($name:ident) => {
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.serialize_u16(self.code())
            }
        }
        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                <u16 as serde::Deserialize>::deserialize(d).map(Self::from_code)
            }
        }
    };
}
pub(super) use serde_as_code;

/// An enum of stable numbers with a name each; newer numbers are kept. Attributes, such as `#[derive(Default)]`, pass through.
macro_rules! codes {
    ($(#[$doc:meta])* $name:ident { $($(#[$each:meta])* $variant:ident = $code:literal, $text:literal;)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$each])* $variant,)*
            /// A newer recorder's word.
            Unknown(u16),
        }
        impl $name {
            /// Stable number in the journal.
            pub const fn code(self) -> u16 {
                match self {
                    $(Self::$variant => $code,)*
                    Self::Unknown(n) => n,
                }
            }
            /// From the stable number.
            pub const fn from_code(code: u16) -> Self {
                match code {
                    $($code => Self::$variant,)*
                    n => Self::Unknown(n),
                }
            }
            /// Name in JSON.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)*
                    Self::Unknown(_) => "unknown",
                }
            }
        }
        $crate::model::codes::serde_as_code!($name);
    };
}
pub(super) use codes;

/// The same where there may be nothing to say: `None`, number 0, without a name.
macro_rules! codes_or_none {
    ($(#[$doc:meta])* $name:ident { $($(#[$each:meta])* $variant:ident = $code:literal, $text:literal;)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
        pub enum $name {
            /// Nothing of the kind.
            #[default]
            None,
            $($(#[$each])* $variant,)*
            /// A newer recorder's word.
            Unknown(u16),
        }
        impl $name {
            /// Stable number in the journal.
            pub const fn code(self) -> u16 {
                match self {
                    Self::None => 0,
                    $(Self::$variant => $code,)*
                    Self::Unknown(n) => n,
                }
            }
            /// From the stable number.
            pub const fn from_code(code: u16) -> Self {
                match code {
                    0 => Self::None,
                    $($code => Self::$variant,)*
                    n => Self::Unknown(n),
                }
            }
            /// Name in JSON; `None` where there is nothing to say.
            pub const fn name(self) -> Option<&'static str> {
                match self {
                    Self::None => None,
                    $(Self::$variant => Some($text),)*
                    Self::Unknown(_) => Some("unknown"),
                }
            }
        }
        $crate::model::codes::serde_as_code!($name);
    };
}
pub(super) use codes_or_none;
