//! Sizes, times and ranges as people write and read them.

use core::{fmt, ops::Range, time::Duration};

pub(crate) use indicatif::BinaryBytes as Bytes;

/// A time as people say it: `0.4 s`, `12 s`, `3 min 5 s`, `2 h 10 min`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Time(pub(crate) Duration);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        match seconds {
            0..10 => write!(f, "{:.1} s", self.0.as_secs_f64()),
            10..60 => write!(f, "{seconds} s"),
            60..3600 => write!(f, "{} min {} s", seconds / 60, seconds % 60),
            3600..86_400 => write!(f, "{} h {} min", seconds / 3600, seconds / 60 % 60),
            _ => write!(f, "{} d {} h", seconds / 86_400, seconds / 3600 % 24),
        }
    }
}

/// Reads `90`, `90s`, `1.5m`, `2h` or `1d`.
pub(crate) fn parse_time(text: &str) -> Result<Duration, String> {
    let number = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let factor = match text.get(number.len()..) {
        Some("" | "s") => 1.0,
        Some("ms") => 0.001,
        Some("m" | "min") => 60.0,
        Some("h") => 3600.0,
        Some("d") => 86_400.0,
        _ => return Err("write it like 90, 90s, 5m, 2h or 1d".to_owned()),
    };
    let seconds: f64 =
        number.parse().map_err(|_| "write it like 90, 90s, 5m, 2h or 1d".to_owned())?;
    Duration::try_from_secs_f64(seconds * factor)
        .map_err(|_| "it must be a positive time".to_owned())
}

/// A byte range; an end that is not given is the blob's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ByteRange {
    start: u64,
    end: Option<u64>,
}

impl ByteRange {
    /// The whole blob.
    pub(crate) const ALL: Self = Self { start: 0, end: None };

    /// The part of a blob of `size` bytes that is meant.
    pub(crate) fn within(self, size: u64) -> Range<u64> {
        let end = self.end.unwrap_or(size).min(size);
        self.start.min(end)..end
    }

    /// Whether the range begins behind the end of the blob.
    pub(crate) const fn is_past(self, size: u64) -> bool {
        self.start > size
    }
}

/// Reads `A..B`, `A..` or `..B`.
pub(crate) fn parse_range(text: &str) -> Result<ByteRange, String> {
    let form =
        || "write it like 0..1000, 1000.. or ..1000 (bytes; the end is exclusive)".to_owned();
    let (start, end) = text.split_once("..").ok_or_else(form)?;
    let number = |text: &str, absent: Option<u64>| match text {
        "" => Ok(absent),
        text => text.parse().map(Some).map_err(|_| form()),
    };
    let start = number(start, Some(0))?.unwrap_or(0);
    let end = number(end, None)?;
    if end.is_some_and(|end| end < start) {
        return Err("the end lies before the start".to_owned());
    }
    Ok(ByteRange { start, end })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_with_and_without_a_unit() {
        assert_eq!(parse_time("90"), Ok(Duration::from_secs(90)));
        assert_eq!(parse_time("1.5m"), Ok(Duration::from_secs(90)));
        assert_eq!(parse_time("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(parse_time("2h"), Ok(Duration::from_secs(7200)));
        for bad in ["", "s", "-1", "5 parsecs", "1e400", "nan", "inf"] {
            assert!(parse_time(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn ranges_are_half_open_and_end_with_the_blob() {
        assert_eq!(parse_range("2..5").map(|range| range.within(10)), Ok(2..5));
        assert_eq!(parse_range("2..").map(|range| range.within(10)), Ok(2..10));
        assert_eq!(parse_range("..5").map(|range| range.within(3)), Ok(0..3));
        assert_eq!(parse_range("..").map(|range| range.within(3)), Ok(0..3));
        assert_eq!(parse_range("7..9").map(|range| range.within(3)), Ok(3..3));
        for bad in ["", "5", "5-7", "7..5", "-1..5", "a..b", "1..2..3"] {
            assert!(parse_range(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn times_read_well_at_every_scale() {
        let shown = |seconds| Time(Duration::from_secs_f64(seconds)).to_string();
        assert_eq!(shown(0.42), "0.4 s");
        assert_eq!(shown(59.9), "59 s");
        assert_eq!(shown(185.0), "3 min 5 s");
        assert_eq!(shown(7800.0), "2 h 10 min");
        assert_eq!(shown(90_000.0), "1 d 1 h");
    }
}
