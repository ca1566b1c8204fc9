//! Properties from `-D` options: on the command line, and in the variables that ZooKeeper's scripts read.

use crate::config::Override;

/// One variable and how messages name it.
const VARIABLES: [&str; 2] = ["JVMFLAGS", "SERVER_JVMFLAGS"];

/// What the environment sets; of two variables `SERVER_JVMFLAGS` is the later and wins.
pub(crate) fn from_environment() -> Vec<Override> {
    let of = |name: &'static str| {
        let flags = std::env::var(name).unwrap_or_default();
        words(&flags).iter().filter_map(|word| property(word.strip_prefix("-D")?, name)).collect::<Vec<_>>()
    };
    VARIABLES.into_iter().flat_map(of).collect()
}

/// What the command line sets.
pub(crate) fn from_options(properties: &[String]) -> Vec<Override> {
    properties.iter().filter_map(|property_text| property(property_text, "-D option")).collect()
}

/// `key=value`, or `key` alone, which Java takes for an empty value.
fn property(text: &str, source: &'static str) -> Option<Override> {
    let (key, value) = text.split_once('=').unwrap_or((text, ""));
    (!key.is_empty()).then(|| Override { key: key.to_owned(), value: value.to_owned(), source })
}

/// Words as a shell cuts them: blanks separate, quotes of both kinds hold together.
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    for c in text.chars() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (None, '"' | '\'') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, c) if c.is_whitespace() => words.extend(word.take()),
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_cut_as_a_shell_cuts_them() {
        assert_eq!(
            words("  -Xmx1g  -Da=b '-Dc=d e' -Df=\"g h\"i "),
            ["-Xmx1g", "-Da=b", "-Dc=d e", "-Df=g hi"]
        );
        assert!(words(" ").is_empty());
    }

    #[test]
    fn a_property_may_have_no_value_and_a_value_may_hold_equals_signs() {
        let found = from_options(&["a".into(), "b=c=d".into(), "=x".into()]);
        let pairs: Vec<_> = found.iter().map(|o| (o.key.as_str(), o.value.as_str())).collect();
        assert_eq!(pairs, [("a", ""), ("b", "c=d")]);
    }
}
