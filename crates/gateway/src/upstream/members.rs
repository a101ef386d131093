//! JSON objects as they were written: member by member, in order, with what stands twice.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;

use serde::de::{self, Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::limits;

/// The members of one JSON object. Values are JSON as it was written, and nobody looked into them:
/// neither their depth nor their size costs more than a walk over their bytes.
#[derive(Debug)]
pub(super) struct Members<'a> {
    members: Vec<(Cow<'a, str>, Cow<'a, str>)>,
}

/// What a server could take for something else than what was judged.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ambiguous {
    Repeated(String),
    Cased { written: String, meant: &'static str },
}

impl<'a> Members<'a> {
    /// Reads an object, and only that.
    pub(super) fn read(json: &'a str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(json)
    }

    /// Gives the value of the first member with exactly this name.
    pub(super) fn value(&self, name: &str) -> Option<&str> {
        self.iter().find(|(given, _)| *given == name).map(|(_, value)| value)
    }

    /// Gives the string that the member with exactly this name is.
    pub(super) fn string(&self, name: &str) -> Option<String> {
        self.value(name).and_then(string)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.members.iter().map(|(name, value)| (name.as_ref(), value.as_ref()))
    }

    pub(super) fn set(&mut self, name: &str, value: String) {
        if let Some((_, old)) = self.members.iter_mut().find(|(given, _)| given == name) {
            *old = Cow::Owned(value);
        }
    }

    /// Refuses members that stand twice, and members that are one of `deciding` but for their case:
    /// a server that reads the last one, or folds case as Go's and .NET's readers do, would see
    /// another message than the one that was judged.
    pub(super) fn refuse_ambiguous(&self, deciding: &[&'static str]) -> Result<(), Ambiguous> {
        let mut seen = BTreeSet::new();
        for (name, _) in self.iter() {
            if !seen.insert(name) {
                return Err(Ambiguous::Repeated(name.to_owned()));
            }
            if deciding.contains(&name) {
                continue;
            }
            if let Some(meant) = deciding.iter().find(|meant| folded(name).eq(folded(meant))) {
                return Err(Ambiguous::Cased { written: name.to_owned(), meant });
            }
        }
        Ok(())
    }

    /// Appends the object: each name in its one form, each value as it was written.
    pub(super) fn write(&self, json: &mut String) {
        write_object(json, self.iter());
    }
}

/// Appends an object of these members, whose values are JSON.
pub(super) fn write_object<'m>(
    json: &mut String,
    members: impl Iterator<Item = (&'m str, &'m str)>,
) {
    json.push('{');
    for (number, (name, value)) in members.enumerate() {
        if number > 0 {
            json.push(',');
        }
        json.push_str(&quoted(name));
        json.push(':');
        json.push_str(value);
    }
    json.push('}');
}

/// Reads a JSON string, and only that.
pub(super) fn string(json: &str) -> Option<String> {
    serde_json::from_str(json).ok()
}

/// Writes a JSON string.
pub(super) fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

/// Tells whether one name is the other to a reader that does not tell case apart.
pub(super) fn same_folded(one: &str, other: &str) -> bool {
    folded(one).eq(folded(other))
}

/// The name as the most tolerant readers compare it. Through upper to lower case folds what only
/// one of them does: ſ is an s (Go), ı is an i (Java), the Kelvin sign is a k. İ is an i with a dot
/// that some leave out. A name ends at its NUL for readers in C.
fn folded(name: &str) -> impl Iterator<Item = char> {
    const COMBINING_DOT_ABOVE: char = '\u{307}';
    name.chars()
        .take_while(|c| *c != '\0')
        .flat_map(char::to_uppercase)
        .flat_map(char::to_lowercase)
        .filter(|c| *c != COMBINING_DOT_ABOVE)
}

impl fmt::Display for Ambiguous {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Repeated(name) => {
                write!(f, "the member {:?} stands twice: send it once", clip(name))
            }
            Self::Cased { written, meant } => {
                write!(f, "the member {:?} must be written {meant:?}, or left out", clip(written))
            }
        }
    }
}

/// Cuts what a client sent to what fits a message.
pub(super) fn clip(text: &str) -> String {
    const SHOWN: usize = 120;
    let mut shown: String = text.chars().take(SHOWN).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    shown
}

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;

        impl<'de> Visitor<'de> for Object {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut members = Vec::new();
                while let Some(Name(name)) = map.next_key()? {
                    if members.len() == limits::MEMBER_COUNT {
                        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                        let most = limits::MEMBER_COUNT;
                        return Err(de::Error::custom(format_args!("more than {most} members")));
                    }
                    let value: &'de RawValue = map.next_value()?;
                    members.push((name, Cow::Borrowed(value.get())));
                }
                Ok(Members { members })
            }
        }

        deserializer.deserialize_map(Object)
    }
}

/// A member's name, borrowed where it has no escapes.
struct Name<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Name<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;

        impl<'de> Visitor<'de> for Text {
            type Value = Name<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_str<E>(self, name: &'de str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Borrowed(name)))
            }

            fn visit_str<E>(self, name: &str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Owned(name.to_owned())))
            }
        }

        deserializer.deserialize_str(Text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_written_as_it_was_read_with_its_names_in_one_form() {
        let json = r#" { "b" : [1, 2] ,"\u0061":{"x" : 1,"x":2},"é\n":"\ud800" } "#;
        let mut written = String::new();
        Members::read(json).unwrap().write(&mut written);
        assert_eq!(written, r#"{"b":[1, 2],"a":{"x" : 1,"x":2},"é\n":"\ud800"}"#);
    }

    #[test]
    fn names_that_differ_in_case_alone_are_one_however_they_are_written() {
        let alike = ["NAME", "Name", "\\u004eame", "nam\\u0045", "name\\u0000x"];
        for name in alike {
            let json = format!(r#"{{"{name}":1}}"#);
            let found = Members::read(&json).unwrap().refuse_ambiguous(&["name"]);
            assert!(matches!(found, Err(Ambiguous::Cased { meant: "name", .. })), "{name}");
        }
        for (written, meant) in [
            ("argumentſ", "arguments"),
            ("argument\\u017f", "arguments"),
            ("tas\u{212a}", "task"),
            ("tas\\u212A", "task"),
            ("ur\u{131}", "uri"),
            ("UR\u{130}", "uri"),
            ("ur\\u0130", "uri"),
        ] {
            let json = format!(r#"{{"{written}":1}}"#);
            let found =
                Members::read(&json).unwrap().refuse_ambiguous(&["arguments", "task", "uri"]);
            assert!(
                matches!(found, Err(Ambiguous::Cased { meant: m, .. }) if m == meant),
                "{written}"
            );
        }
        let json = r#"{"names":1,"n_ame":1,"nam":1,"":1,"ｎame":1,"name":1}"#;
        assert_eq!(Members::read(json).unwrap().refuse_ambiguous(&["name"]), Ok(()));
    }

    #[test]
    fn a_member_that_stands_twice_is_found_however_it_is_written() {
        for json in [r#"{"a":1,"a":1}"#, r#"{"a":1,"b":2,"\u0061":1}"#] {
            let found = Members::read(json).unwrap().refuse_ambiguous(&[]);
            assert_eq!(found, Err(Ambiguous::Repeated("a".to_owned())));
        }
        assert_eq!(Members::read(r#"{"a":1,"A":1}"#).unwrap().refuse_ambiguous(&[]), Ok(()));
    }

    #[test]
    fn only_one_object_of_a_bounded_number_of_members_is_read() {
        let wrong =
            ["", "[]", "{}x", "{", r#"{"a"}"#, r#"{"a":}"#, r#"{"\ud800":1}"#, "\u{feff}{}"];
        for json in wrong {
            assert!(Members::read(json).is_err(), "{json}");
        }
        let members = |count: usize| {
            let all = (0..count).map(|n| format!("\"{n}\":{n}")).collect::<Vec<_>>();
            format!("{{{}}}", all.join(","))
        };
        assert!(Members::read(&members(limits::MEMBER_COUNT)).is_ok());
        assert!(Members::read(&members(limits::MEMBER_COUNT + 1)).is_err());
    }

    #[test]
    fn depth_costs_no_stack() {
        let deep = "[".repeat(2 * 1024 * 1024);
        assert!(Members::read(&format!(r#"{{"a":{deep}"#)).is_err());
        let closed = "]".repeat(2 * 1024 * 1024);
        let json = format!(r#"{{"a":{deep}{closed}}}"#);
        assert!(Members::read(&json).is_ok());
    }
}
