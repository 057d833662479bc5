//! Designs as scenario files and command lines choose them, and the [`catalogue`] of what each
//! alternative means.
//!
//! `design = "as-written"`, or a table: a base if it is not the sound one, and the choices that
//! differ from it. On a command line the same is one word: `as-written`, or
//! `sequence=snowflake,cleaner=by-user`.

pub mod catalogue;

use crate::document::{Problem, nearest};
use courier::design::{Changes, Design};
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, DeserializeSeed, Deserializer, IntoDeserializer, MapAccess, Visitor};
use std::fmt;

/// A design with a name.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Deserialize, strum::VariantNames, strum::EnumString,
)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
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

/// `design` of a scenario: a name, or the choices that differ from a base.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DesignSpec(pub Design);

impl<'de> Deserialize<'de> for DesignSpec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Spec;
        impl<'de> Visitor<'de> for Spec {
            type Value = DesignSpec;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("`sound`, `as-written` or a table of choices")
            }
            fn visit_str<E: de::Error>(self, name: &str) -> Result<DesignSpec, E> {
                Named::deserialize(name.into_deserializer()).map(|named| DesignSpec(named.design()))
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<DesignSpec, A::Error> {
                let mut base = Named::Sound;
                let map = WithBase { map, base: &mut base };
                let changes = Changes::deserialize(MapAccessDeserializer::new(map))?;
                Ok(DesignSpec(changes.of(base.design())))
            }
        }
        deserializer.deserialize_any(Spec)
    }
}

/// The entries of a table without its `base`, which is taken out on the way. The table's own keys
/// and values pass through, so that an error is still said of its line.
struct WithBase<'b, A> {
    map: A,
    base: &'b mut Named,
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for WithBase<'_, A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, A::Error> {
        let mut seed = Some(seed);
        let mut key = None;
        while key.is_none() {
            // A key is read once, and `base` leaves the seed for the next.
            match self.map.next_key_seed(ChoiceOrBase { seed: &mut seed, key: &mut key })? {
                None => return Ok(None),
                Some(()) if key.is_none() => *self.base = self.map.next_value()?,
                Some(()) => {}
            }
        }
        Ok(key)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, A::Error> {
        self.map.next_value_seed(seed)
    }
}

/// Reads one key: `base`, or what the seed makes of it.
struct ChoiceOrBase<'s, K, T> {
    seed: &'s mut Option<K>,
    key: &'s mut Option<T>,
}

impl<'de, K: DeserializeSeed<'de>> DeserializeSeed<'de> for ChoiceOrBase<'_, K, K::Value> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        let name = String::deserialize(deserializer)?;
        if name != "base"
            && let Some(seed) = self.seed.take()
        {
            *self.key = Some(seed.deserialize(name.into_deserializer())?);
        }
        Ok(())
    }
}

/// A design chosen on a command line: it replaces the scenario's own, or changes some of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Override {
    base: Option<Design>,
    changes: Changes,
}

impl Override {
    /// A whole design, whatever the scenario chooses.
    pub fn whole(design: Design) -> Self {
        Self { base: Some(design), changes: Changes::default() }
    }

    /// The design of a scenario that chooses `own`.
    pub fn of(&self, own: Design) -> Design {
        self.changes.of(self.base.unwrap_or(own))
    }

    /// Reads `as-written`, `sequence=snowflake,cleaner=by-user`, or a name and then choices.
    pub fn read(text: &str) -> Result<Self, Problem> {
        let wrong = |what: String, help: String| {
            Err(Problem::whole(&format!("--design {text}"), what, help))
        };
        let mut design = Self::default();
        let mut choices = serde_json::Map::new();
        for (at, word) in text.split(',').map(str::trim).enumerate() {
            let Some((choice, alternative)) = word.split_once('=') else {
                match word.parse::<Named>() {
                    Ok(named) if at == 0 => design.base = Some(named.design()),
                    Ok(_) => {
                        let help = "write the name first, then the choices that differ from it";
                        return wrong(format!("`{word}` is not the first word"), help.to_owned());
                    }
                    Err(_) => {
                        let names = <Named as strum::VariantNames>::VARIANTS.iter().copied();
                        let choices = catalogue::CATALOGUE.iter().map(|choice| choice.name);
                        let help = match nearest(word, names.clone()) {
                            Some(name) => format!("did you mean `{name}`?"),
                            None => match nearest(word, choices) {
                                Some(choice) => format!("write {choice}=ALTERNATIVE"),
                                None => "write `as-written`, `sound` or CHOICE=ALTERNATIVE, like \
                                         sequence=snowflake"
                                    .to_owned(),
                            },
                        };
                        return wrong(format!("there is no design `{word}`"), help);
                    }
                }
                continue;
            };
            let (choice, alternative) = (choice.trim(), alternative.trim());
            let found = match catalogue::find(choice, alternative) {
                Ok(found) => found,
                Err((what, help)) => return wrong(what, help),
            };
            if choices.insert(found.choice.to_owned(), found.alternative.into()).is_some() {
                return wrong(format!("`{choice}` is chosen twice"), "keep one".to_owned());
            }
        }
        match Changes::deserialize(serde_json::Value::Object(choices)) {
            Ok(changes) => Ok(Self { changes, ..design }),
            Err(refused) => wrong(refused.to_string(), "`courier designs` lists them".to_owned()),
        }
    }
}

/// What a design chooses, as names: `("dead-peer", "tcp-only")`, in the order of the design.
pub fn chosen(design: &Design) -> Vec<(String, String)> {
    let table = serde_json::to_value(design).expect("a design is a table of names");
    let word = |choice: &str| table[choice].as_str().expect("an alternative is a name").to_owned();
    catalogue::CATALOGUE.iter().map(|choice| (choice.name.to_owned(), word(choice.name))).collect()
}

/// A design as a command line writes it: `sound`, `as-written`, or how it differs from the sound
/// one.
pub fn spell(design: &Design) -> String {
    if *design == Design::default() {
        return "sound".to_owned();
    }
    if *design == Design::AS_WRITTEN {
        return "as-written".to_owned();
    }
    let sound = chosen(&Design::default());
    let differs = chosen(design).into_iter().filter(|choice| !sound.contains(choice));
    let words = differs.map(|(choice, alternative)| format!("{choice}={alternative}"));
    words.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;
    use courier::design::{Cleaner, DeadPeer, Sequence};

    #[derive(Debug, Deserialize)]
    struct File {
        design: DesignSpec,
    }

    fn file(text: &str) -> Result<Design, String> {
        toml::from_str::<File>(text).map(|file| file.design.0).map_err(|e| e.to_string())
    }

    #[test]
    fn a_file_chooses_by_name_by_table_and_by_a_table_with_a_base() {
        assert_eq!(file("design = \"sound\""), Ok(Design::default()));
        assert_eq!(file("design = \"as-written\""), Ok(Design::AS_WRITTEN));
        let blocks = Design { sequence: Sequence::Block, ..Design::default() };
        assert_eq!(file("design.sequence = \"block\""), Ok(blocks));
        let both = Design { sequence: Sequence::Block, ..Design::AS_WRITTEN };
        for text in [
            "[design]\nbase = \"as-written\"\nsequence = \"block\"",
            "[design]\nsequence = \"block\"\nbase = \"as-written\"",
        ] {
            assert_eq!(file(text), Ok(both), "{text}");
        }
        assert_eq!(file("[design]\nbase = \"as-written\""), Ok(Design::AS_WRITTEN));
    }

    #[test]
    fn what_a_file_gets_wrong_is_said_of_its_line() {
        for (text, line) in [
            ("[design]\nbase = \"textbook\"", "line 2"),
            ("[design]\nbase = \"sound\"\nsequense = \"block\"", "line 3"),
            ("[design]\nsequence = \"block\"\ncleaner = \"by-name\"", "line 3"),
            ("design = \"as-writen\"", "line 1"),
        ] {
            let refused = file(text).unwrap_err();
            assert!(refused.contains(line), "{text}: {refused}");
        }
    }

    #[test]
    fn a_word_replaces_or_changes_a_scenarios_design() {
        let own = Design { sequence: Sequence::Lamport, ..Design::default() };
        let read = |text: &str| Override::read(text).unwrap().of(own);
        assert_eq!(Override::default().of(own), own);
        assert_eq!(read("sound"), Design::default());
        assert_eq!(read("as-written"), Design::AS_WRITTEN);
        assert_eq!(read("cleaner=by-user"), Design { cleaner: Cleaner::ByUser, ..own });
        let two = Design { dead_peer: DeadPeer::TcpOnly, cleaner: Cleaner::ByUser, ..own };
        assert_eq!(read("dead-peer=tcp-only, cleaner=by-user"), two);
        let based = Design { sequence: Sequence::Block, ..Design::AS_WRITTEN };
        assert_eq!(read("as-written,sequence=block"), based);
    }

    #[test]
    fn what_is_spelled_is_read_again() {
        for entry in catalogue::entries() {
            let word = format!("{}={}", entry.choice, entry.alternative);
            let design = Override::read(&word).unwrap().of(Design::default());
            let first = catalogue::CATALOGUE.iter().any(|choice| {
                choice.name == entry.choice && choice.alternatives[0].name == entry.alternative
            });
            assert_eq!(spell(&design), if first { "sound".to_owned() } else { word });
        }
        let two = Design { dead_peer: DeadPeer::TcpOnly, ..Design::AS_WRITTEN };
        assert_eq!(Override::read(&spell(&two)).unwrap().of(Design::default()), two);
    }

    #[test]
    fn a_wrong_word_is_refused_with_a_better_one() {
        for (word, what, help) in [
            ("as-writen", "there is no design `as-writen`", "did you mean `as-written`?"),
            ("sequence", "there is no design `sequence`", "write sequence=ALTERNATIVE"),
            ("sequnce=block", "there is no choice `sequnce`", "did you mean `sequence`?"),
            ("sequence=blok", "`sequence` has no alternative `blok`", "did you mean `block`?"),
            ("sequence=block,sequence=lamport", "`sequence` is chosen twice", "keep one"),
            ("sequence=block,sound", "`sound` is not the first word", "write the name first"),
        ] {
            let problem = Override::read(word).unwrap_err();
            assert!(problem.to_string().contains(what), "{problem}");
            assert!(problem.help_text().contains(help), "{}", problem.help_text());
        }
    }
}
