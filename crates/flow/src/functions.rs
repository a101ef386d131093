//! The functions of the language: one row of a table each.

mod collection;
mod conversion;
mod json_reader;
mod later;
mod logical;
mod math;
mod number_format;
mod number_reader;
mod object;
mod reference;
mod referencing;
mod string;
mod uri;

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::LazyLock;

pub use reference::functions_page;

use crate::expression::{Call, Callee, Fault, Val};
pub(crate) use json_reader::read_json;
pub(crate) use logical::equals_values;

/// A row of the table.
pub(crate) struct Function {
    pub(crate) name: &'static str,
    /// The parameters as the reference page shows them.
    pub(crate) parameters: &'static str,
    pub(crate) least: usize,
    /// Nothing for a function that takes any number.
    pub(crate) most: Option<usize>,
    pub(crate) doc: &'static str,
    pub(crate) body: Body,
}

pub(crate) type Body = for<'a> fn(&mut Call<'a>) -> Result<Val<'a>, Fault>;

/// A function that the language has and this engine does not have yet.
#[derive(Debug)]
pub(crate) struct Later {
    pub(crate) name: &'static str,
    pub(crate) group: &'static str,
}

/// The functions of one kind.
pub(crate) struct Group {
    pub(crate) title: &'static str,
    pub(crate) functions: &'static [Function],
}

pub(crate) static GROUPS: [Group; 8] = [
    Group { title: "String", functions: string::FUNCTIONS },
    Group { title: "Collection", functions: collection::FUNCTIONS },
    Group { title: "Logical", functions: logical::FUNCTIONS },
    Group { title: "Conversion", functions: conversion::FUNCTIONS },
    Group { title: "Math", functions: math::FUNCTIONS },
    Group { title: "Referencing", functions: referencing::FUNCTIONS },
    Group { title: "URI", functions: uri::FUNCTIONS },
    Group { title: "Object", functions: object::FUNCTIONS },
];

impl Function {
    pub(crate) fn takes(&self, count: usize) -> bool {
        count >= self.least && self.most.is_none_or(|most| count <= most)
    }

    /// Says how many arguments the function takes, and that it was given `count`.
    pub(crate) fn arity_message(&self, count: usize) -> String {
        let wanted = match (self.least, self.most) {
            (0, Some(0)) => "no argument".to_owned(),
            (1, Some(1)) => "one argument".to_owned(),
            (least, Some(most)) if least == most => format!("{least} arguments"),
            (least, Some(most)) => format!("{least} to {most} arguments"),
            (least, None) => {
                format!("at least {least} argument{}", if least == 1 { "" } else { "s" })
            }
        };
        format!(
            "the function '{}' takes {wanted}, {}({}), and is given {count}",
            self.name, self.name, self.parameters
        )
    }
}

impl fmt::Debug for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Function").field("name", &self.name).finish_non_exhaustive()
    }
}

static BY_NAME: LazyLock<BTreeMap<String, Callee>> = LazyLock::new(|| {
    let functions = GROUPS
        .iter()
        .flat_map(|group| group.functions)
        .map(|function| (function.name.to_ascii_lowercase(), Callee::Function(function)));
    let later =
        later::LATER.iter().map(|later| (later.name.to_ascii_lowercase(), Callee::Later(later)));
    functions.chain(later).collect()
});

/// Finds a function by its name, without regard to case.
pub(crate) fn find(name: &str) -> Callee {
    match BY_NAME.get(&name.to_ascii_lowercase()) {
        Some(callee) => callee.clone(),
        None => Callee::Unknown(name.to_owned()),
    }
}

/// Returns the known function whose name is nearest to `name`, for a hint.
pub(crate) fn nearest(name: &str) -> Option<&'static str> {
    let wanted = name.to_ascii_lowercase();
    GROUPS
        .iter()
        .flat_map(|group| group.functions)
        .map(|function| (distance(&wanted, &function.name.to_ascii_lowercase()), function.name))
        .min_by(|one, other| one.0.cmp(&other.0).then(Ordering::Equal))
        .filter(|(distance, _)| *distance <= 2.min(wanted.len() / 2))
        .map(|(_, name)| name)
}

/// Counts the insertions, deletions and substitutions between two short texts.
pub(crate) fn distance(one: &str, other: &str) -> usize {
    if one.len() > 64 || other.len() > 64 {
        return usize::MAX;
    }
    let mut row: Vec<usize> = (0..=other.chars().count()).collect();
    for (line, a) in one.chars().enumerate() {
        let mut diagonal = line;
        let mut left = line + 1;
        for (slot, b) in row.iter_mut().skip(1).zip(other.chars()) {
            let above = *slot;
            left = (left + 1).min(above + 1).min(diagonal + usize::from(a != b));
            diagonal = above;
            *slot = left;
        }
        if let Some(first) = row.first_mut() {
            *first = line + 1;
        }
    }
    row.last().copied().unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_stands_in_the_table_once() {
        let rows: usize = GROUPS.iter().map(|group| group.functions.len()).sum();
        assert_eq!(BY_NAME.len(), rows + later::LATER.len());
    }

    #[test]
    fn a_misspelt_name_finds_its_neighbour() {
        assert_eq!(nearest("concatt"), Some("concat"));
        assert_eq!(nearest("toLowr"), Some("toLower"));
        assert_eq!(nearest("frobnicate"), None);
    }

    #[test]
    fn distances_count_edits() {
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("abc", "abc"), 0);
    }
}
