//! Where in the file each thing stands, for errors about what no single key can know.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Everything in a file in its order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Places {
    text: String,
    all: Vec<Place>,
}

/// A key, or an element of a list.
#[derive(Clone, Debug)]
pub(super) struct Place {
    /// `fault[1].do.partition[0]`, counted from 0.
    pub(super) path: String,
    /// Where its name stands; an element of a list has none.
    pub(super) key: Option<Range<usize>>,
    /// Where its value stands.
    pub(super) value: Range<usize>,
    /// What it is.
    pub(super) found: Found,
}

/// A value, as far as checks are about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Found {
    Text(String),
    /// As it was written.
    Number(String),
    Other,
}

impl Places {
    /// Of a text that was read already, so it is TOML.
    pub(super) fn of(text: &str) -> Self {
        let mut all = Vec::new();
        if let Ok(table) = DeTable::parse(text) {
            walk(table.get_ref(), "", &mut all);
        }
        Self { text: text.to_owned(), all }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Place> {
        self.all.iter()
    }

    /// As it was written.
    pub(super) fn written(&self, at: &Range<usize>) -> &str {
        &self.text[at.clone()]
    }

    /// `:line:column: what`, about the value at this path, or what it would be in.
    pub(crate) fn fail(&self, path: &str, what: &str) -> String {
        let mut path = path;
        loop {
            if let Some(place) = self.all.iter().find(|place| place.path == path) {
                return self.fail_at(place.value.start, what);
            }
            match path.rfind(['.', '[']) {
                Some(end) => path = &path[..end],
                None => return format!(": {what}"),
            }
        }
    }

    /// The same about a key.
    pub(super) fn fail_key(&self, path: &str, what: &str) -> String {
        let key = self.all.iter().find(|place| place.path == path).and_then(|place| place.key.clone());
        key.map_or_else(|| self.fail(path, what), |key| self.fail_at(key.start, what))
    }

    /// The same about a byte of the text.
    pub(super) fn fail_at(&self, at: usize, what: &str) -> String {
        format!("{}: {what}", place(&self.text, at))
    }
}

/// `:line:column` of a byte of the text.
pub(super) fn place(text: &str, at: usize) -> String {
    let before = &text[..at.min(text.len())];
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().map_or(0, |line| line.chars().count()) + 1;
    format!(":{line}:{column}")
}

fn walk(table: &DeTable<'_>, within: &str, all: &mut Vec<Place>) {
    for (key, value) in table {
        let dot = if within.is_empty() { "" } else { "." };
        step(format!("{within}{dot}{}", key.get_ref()), Some(key.span()), value, all);
    }
}

fn step(path: String, key: Option<Range<usize>>, value: &Spanned<DeValue<'_>>, all: &mut Vec<Place>) {
    let found = match value.get_ref() {
        DeValue::String(text) => Found::Text(text.to_string()),
        DeValue::Integer(number) => Found::Number(number.as_str().to_owned()),
        _ => Found::Other,
    };
    all.push(Place { path: path.clone(), key, value: value.span(), found });
    match value.get_ref() {
        DeValue::Array(list) => {
            list.iter().enumerate().for_each(|(i, value)| step(format!("{path}[{i}]"), None, value, all));
        }
        DeValue::Table(table) => walk(table, &path, all),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_there_is_told_where_it_would_be() {
        let places =
            Places::of("a = 1\n[[fault]]\nat = \"1s\"\n[[fault]]\ndo = { crash = [\"x\",\n \"y\"] }");
        for (path, place) in [
            ("a", ":1:5: w"),
            ("fault[0].at", ":3:6: w"),
            ("fault[1].do.crash[1]", ":6:2: w"),
            ("fault[1].do.crash[7]", ":5:16: w"),
            ("fault[1].do.pause", ":5:6: w"),
            ("fault[1].name", ":4:1: w"),
            ("nowhere.at.all", ": w"),
        ] {
            assert_eq!(places.fail(path, "w"), place, "{path}");
        }
        assert_eq!(places.fail_key("fault[1].do.crash", "w"), ":5:8: w");
    }
}
