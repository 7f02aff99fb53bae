//! Numbers as the registry, the RFCs and Rust write them.

use anyhow::{Context, Result, bail};

/// A number with the way it is written in the registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Number {
    /// `1114112`.
    Plain(i64),
    /// `2^54 - 1`, the text and its parts: exponent and what is taken off.
    Power(String, u32, i64),
    /// `0o777`.
    Octal(i64),
    /// `8 KiB`: the count and the binary logarithm of the unit.
    Bytes(String, i64, u32),
    /// `10 s`: the text and milliseconds.
    Time(String, i64),
}

impl Number {
    pub(super) fn parse(value: &toml::Value) -> Result<Self> {
        if let Some(number) = value.as_integer() {
            return Ok(Self::Plain(number));
        }
        let text = value.as_str().context("a value is a number or a text")?;
        let count = |text: &str| text.trim().parse::<i64>().with_context(|| format!("`{text}`"));
        if let Some(power) = text.strip_prefix("2^") {
            let (exponent, less) = power.split_once(" - ").unwrap_or((power, "0"));
            let exponent = exponent.trim().parse().with_context(|| text.to_owned())?;
            return Ok(Self::Power(text.to_owned(), exponent, count(less)?));
        }
        if let Some(digits) = text.strip_prefix("0o") {
            let number = i64::from_str_radix(digits, 8).with_context(|| text.to_owned())?;
            return Ok(Self::Octal(number));
        }
        let Some((number, unit)) = text.split_once(' ') else { bail!("`{text}` has no unit") };
        let number = count(number)?;
        Ok(match unit {
            "KiB" => Self::Bytes(text.to_owned(), number, 10),
            "MiB" => Self::Bytes(text.to_owned(), number, 20),
            "GiB" => Self::Bytes(text.to_owned(), number, 30),
            "ms" => Self::Time(text.to_owned(), number),
            "s" => Self::Time(text.to_owned(), number * 1_000),
            _ => bail!("`{text}` has an unknown unit"),
        })
    }

    /// A number to tell it from others by.
    pub(super) fn bits(&self) -> i128 {
        match self {
            Self::Plain(number) | Self::Octal(number) | Self::Time(_, number) => (*number).into(),
            Self::Power(_, exponent, less) => (1_i128 << exponent) - i128::from(*less),
            Self::Bytes(_, number, shift) => i128::from(*number) << shift,
        }
    }

    /// As an RFC shows it.
    pub(super) fn shown(&self, hex: bool) -> String {
        match self {
            Self::Plain(number) if hex => format!("0x{number:02x}"),
            Self::Plain(number) => grouped(*number, ",", 4),
            Self::Octal(number) => format!("0{number:o} octal"),
            Self::Power(text, ..) | Self::Bytes(text, ..) | Self::Time(text, _) => text.clone(),
        }
    }

    /// As Rust writes it.
    pub(super) fn rust(&self, hex: bool) -> String {
        match self {
            Self::Plain(number) if hex => format!("0x{number:02x}"),
            Self::Plain(number) => grouped(*number, "_", 5),
            Self::Octal(number) => format!("0o{number:o}"),
            Self::Power(_, exponent, 0) => format!("1 << {exponent}"),
            Self::Power(_, exponent, less) => format!("(1 << {exponent}) - {less}"),
            Self::Bytes(_, number, shift) => format!("{number} << {shift}"),
            Self::Time(_, ms) if ms % 1_000 == 0 => format!("Duration::from_secs({})", ms / 1_000),
            Self::Time(_, ms) => format!("Duration::from_millis({ms})"),
        }
    }
}

/// Three digits at a time, if there are `least` or more.
fn grouped(number: i64, between: &str, least: usize) -> String {
    let digits = number.unsigned_abs().to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) && digits.len() >= least {
            out += between;
        }
        out.push(digit);
    }
    if number < 0 { format!("-{out}") } else { out }
}
