//! Times and shares as scenario and plan files write them: with their unit, in a string.

use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize, Serializer};
use std::fmt;
use std::time::Duration;

/// A length of time: `"300us"`, `"45s"`, `"1h 30m"`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(pub Duration);

/// A point in time relative to T=0: `"20s"`, `"-5s"`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct At(pub i64);

/// A probability, written as a number from 0 to 1 and kept in parts per million.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Share(pub u32);

impl Span {
    pub const fn from_secs(secs: u64) -> Self {
        Self(Duration::from_secs(secs))
    }

    pub fn nanos(self) -> u64 {
        u64::try_from(self.0.as_nanos()).unwrap_or(u64::MAX)
    }
}

impl Share {
    pub const ALL: Self = Self(1_000_000);
}

impl At {
    pub fn from_nanos(nanos: i64) -> Self {
        Self(nanos)
    }

    /// True time since the start of a run whose T=0 is at `zero`; the start if it would be before.
    pub fn since_start(self, zero: u64) -> u64 {
        zero.saturating_add_signed(self.0)
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        humantime::format_duration(self.0).fmt(f)
    }
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let magnitude = Duration::from_nanos(self.0.unsigned_abs());
        write!(f, "{sign}{}", humantime::format_duration(magnitude))
    }
}

/// Longest time that a file may name: a century and a bit, well inside 64 bits of nanoseconds.
const SPAN_MAX: Duration = Duration::from_secs(4_000_000_000);

fn parse_span<E: de::Error>(text: &str) -> Result<Duration, E> {
    let span = humantime::parse_duration(text).map_err(|cause| {
        E::custom(format!(
            "`{text}` is not a time: {cause}; write a number and its unit, like \"20s\", \
             \"300us\", \"5m\" or \"3d\""
        ))
    })?;
    if span > SPAN_MAX {
        return Err(E::custom(format!("`{text}` is longer than a century; write a shorter time")));
    }
    Ok(span)
}

struct SpanVisitor;

impl Visitor<'_> for SpanVisitor {
    type Value = Span;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a time with its unit in a string, like \"20s\"")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Span, E> {
        parse_span(text).map(Span)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(SpanVisitor)
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

struct AtVisitor;

impl Visitor<'_> for AtVisitor {
    type Value = At;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a time relative to T=0 with its unit in a string, like \"20s\" or \"-5s\"")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<At, E> {
        let (sign, magnitude) = match text.strip_prefix('-') {
            Some(rest) => (-1, rest),
            None => (1, text),
        };
        let nanos = parse_span::<E>(magnitude)?.as_nanos() as i64;
        Ok(At(sign * nanos))
    }
}

impl<'de> Deserialize<'de> for At {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(AtVisitor)
    }
}

impl Serialize for At {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

struct ShareVisitor;

impl Visitor<'_> for ShareVisitor {
    type Value = Share;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a share from 0 to 1, like 0.05")
    }

    fn visit_f64<E: de::Error>(self, share: f64) -> Result<Share, E> {
        if (0.0..=1.0).contains(&share) {
            Ok(Share((share * 1e6).round() as u32))
        } else {
            Err(E::custom(format!("{share} is not a share; write a number from 0 to 1")))
        }
    }

    fn visit_i64<E: de::Error>(self, share: i64) -> Result<Share, E> {
        self.visit_f64(share as f64)
    }

    fn visit_u64<E: de::Error>(self, share: u64) -> Result<Share, E> {
        self.visit_f64(share as f64)
    }
}

impl<'de> Deserialize<'de> for Share {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ShareVisitor)
    }
}

impl Serialize for Share {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(f64::from(self.0) / 1e6)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Times {
        at: At,
        lasts: Span,
        share: Share,
    }

    #[test]
    fn what_is_written_reads_back() {
        let times = Times { at: At(-5_000_000_001), lasts: Span::from_secs(90), share: Share(1) };
        let text = toml::to_string(&times).unwrap();
        assert!(text.contains("at = \"-5s 1ns\""), "{text}");
        assert_eq!(toml::from_str::<Times>(&text).unwrap(), times);
    }

    #[test]
    fn a_number_without_unit_is_refused_with_an_example() {
        let refused =
            toml::from_str::<Times>("at = \"20\"\nlasts = \"1s\"\nshare = 0").unwrap_err();
        assert!(refused.message().contains("like \"20s\""), "{refused}");
    }
}
