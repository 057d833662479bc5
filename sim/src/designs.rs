//! Designs as scenario files choose them, and the catalogue of what each alternative means.
//!
//! `design = "as-written"`, or a table: a base, and the choices that differ from it.

use courier::design::{Changes, Design};
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, Deserializer, IntoDeserializer, MapAccess, Visitor};
use std::fmt;

/// A design with a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Named {
    Sound,
    AsWritten,
}

impl Named {
    pub fn design(self) -> Design {
        match self {
            Named::Sound => Design::default(),
            Named::AsWritten => Design::AS_WRITTEN,
        }
    }
}

/// `design` of a scenario: a name, or the choices that differ from the sound ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DesignSpec(pub Design);

impl<'de> Deserialize<'de> for DesignSpec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Choice;
        impl<'de> Visitor<'de> for Choice {
            type Value = DesignSpec;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("`sound`, `as-written` or a table of choices")
            }
            fn visit_str<E: de::Error>(self, name: &str) -> Result<DesignSpec, E> {
                Named::deserialize(name.into_deserializer()).map(|named| DesignSpec(named.design()))
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<DesignSpec, A::Error> {
                let changes = Changes::deserialize(MapAccessDeserializer::new(map))?;
                Ok(DesignSpec(changes.of(Design::default())))
            }
        }
        deserializer.deserialize_any(Choice)
    }
}
