//! "Did you mean": the known word nearest to an unknown one.

/// `; did you mean "x"?`, or nothing if no word is near.
pub(super) fn hint(unknown: &str, words: &[&str]) -> String {
    let near = words.iter().map(|word| (distance(unknown, word), word)).min();
    match near {
        Some((distance, word)) if distance <= unknown.len().div_ceil(3) => {
            format!("; did you mean \"{word}\"?")
        }
        _ => String::new(),
    }
}

/// Insertions, deletions and replacements.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut before = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replaced = before + usize::from(x != *y);
            before = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(before + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typo_finds_its_word_and_nonsense_finds_none() {
        assert_eq!(hint("partiton", &["partition", "pause"]), "; did you mean \"partition\"?");
        assert_eq!(hint("xyzzy", &["partition", "pause"]), "");
    }
}
