//! The grammar of `java.util.Properties`, in which every zoo.cfg is written.
//!
//! | what | rule |
//! |---|---|
//! | comment | `#` or `!` as the first non-blank character of a line, nowhere else |
//! | separator | the first unescaped `=`, `:` or blank; blanks around it are dropped |
//! | continuation | a line that ends in an odd number of `\` goes on in the next one, whose leading blanks are dropped |
//! | escapes | `\t \n \r \f`, `\uHHHH` (UTF-16), and `\` before anything else stands for that character |
//! | trimming | as ZooKeeper does it: keys and values lose leading and trailing characters up to U+0020 |
//!
//! Two things are kept beside Java's reading, because guides teach them and Java chokes on them: a comment behind a
//! value, and text in UTF-8 (Java reads ISO-8859-1). Each entry knows both readings; which of them counts is decided
//! in [`super::zoo_cfg`].
//!
//! Answers to `java.util.Properties.load` and `QuorumPeerConfig.parseProperties`.

use super::ConfigError;

/// One `key=value` of the file, in file order. Duplicates are all kept: the last one wins, but the reader wants to hear.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The key, trimmed.
    pub key: String,
    /// The value as its author meant it: trimmed, decoded as UTF-8, without a comment behind it.
    pub value: String,
    /// What Java takes the value for, where that differs.
    pub java: Option<Differs>,
    /// The line on which the entry begins, counted from 1.
    pub line: u32,
}

/// How Java's reading of a value differs from what its author meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Differs {
    /// Java's value.
    pub value: String,
    /// A comment stands behind the value; Java knows none there.
    pub comment: bool,
}

/// Reads a whole file. `source` names it in errors.
pub fn parse(source: &str, bytes: &[u8]) -> Result<Vec<Entry>, ConfigError> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let text = match str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => bytes.iter().map(|b| char::from(*b)).collect(),
    };
    logical_lines(&text).into_iter().map(|(line, chars)| entry(source, line, &chars)).collect()
}

/// Joins continued lines and drops blank and comment lines (`Properties.LineReader`).
fn logical_lines(text: &str) -> Vec<(u32, Vec<char>)> {
    let mut out = Vec::new();
    let mut open: Option<(u32, Vec<char>)> = None;
    for (number, natural) in (1u32..).zip(natural_lines(text)) {
        let natural = natural.trim_start_matches(BLANKS);
        if open.is_none() && (natural.is_empty() || natural.starts_with(['#', '!'])) {
            continue;
        }
        let (line, mut chars) = open.take().unwrap_or((number, Vec::new()));
        chars.extend(natural.chars());
        let continued = natural.chars().rev().take_while(|c| *c == '\\').count() % 2 == 1;
        if continued {
            chars.pop();
        }
        // A lone backslash leaves nothing, and nothing followed by a blank line is a blank line.
        match (continued, chars.is_empty() && natural.is_empty()) {
            (_, true) => {}
            (true, _) => open = Some((line, chars)),
            (false, _) => out.push((line, chars)),
        }
    }
    out.extend(open.filter(|(_, chars)| !chars.is_empty()));
    out
}

/// Lines end at `\n`, `\r` or `\r\n`.
fn natural_lines(text: &str) -> impl Iterator<Item = &str> {
    text.split_inclusive('\n').flat_map(|line| {
        let line = line.strip_suffix('\n').unwrap_or(line);
        line.strip_suffix('\r').unwrap_or(line).split('\r')
    })
}

/// Cuts a logical line at its separator and resolves the escapes on both sides (`Properties.load0`).
fn entry(source: &str, line: u32, chars: &[char]) -> Result<Entry, ConfigError> {
    let mut escaped = false;
    let key_len = chars.iter().position(|c| {
        let ends = !escaped && (SEPARATORS.contains(c) || BLANKS.contains(c));
        escaped = *c == '\\' && !escaped;
        ends
    });
    let key_len = key_len.unwrap_or(chars.len());
    let mut at = key_len;
    let mut separated = false;
    while let Some(c) = chars.get(at) {
        if SEPARATORS.contains(c) && !separated {
            separated = true;
        } else if !BLANKS.contains(c) {
            break;
        }
        at += 1;
    }
    let malformed = |what| ConfigError::Syntax { file: source.to_owned(), line, what };
    let key = unescape(&chars[..key_len], false).map_err(malformed)?;
    let behind_blank = at > 0 && chars.get(at - 1).is_some_and(|c| BLANKS.contains(c));
    let value = unescape(&chars[at..], behind_blank).map_err(malformed)?;
    let meant = value.meant();
    let java = java_trim(&value.java).to_owned();
    let differs = java != meant;
    Ok(Entry {
        key: key.meant(),
        value: meant,
        java: differs.then_some(Differs { value: java, comment: value.comment_at.is_some() }),
        line,
    })
}

/// A side of the separator with its escapes resolved, in both readings.
struct Resolved {
    /// UTF-16 units, as `\uHHHH` can only name those.
    utf16: Vec<u16>,
    java: String,
    comment_at: Option<usize>,
}

impl Resolved {
    fn meant(&self) -> String {
        let end = self.comment_at.unwrap_or(self.utf16.len());
        java_trim(&String::from_utf16_lossy(&self.utf16[..end])).to_owned()
    }
}

/// `Properties.loadConvert`. `behind_blank`: the character in front of `chars` was a blank.
fn unescape(chars: &[char], behind_blank: bool) -> Result<Resolved, String> {
    let mut utf16 = Vec::with_capacity(chars.len());
    let mut java = Vec::with_capacity(chars.len());
    let mut comment_at = None;
    let mut blank = behind_blank;
    let mut rest = chars.iter().copied();
    while let Some(c) = rest.next() {
        let was_blank = std::mem::replace(&mut blank, BLANKS.contains(&c));
        if c != '\\' {
            if c == '#' && was_blank && comment_at.is_none() {
                comment_at = Some(utf16.len());
            }
            utf16.extend_from_slice(c.encode_utf16(&mut [0; 2]));
            // Java reads bytes as ISO-8859-1: a character of several bytes becomes several.
            java.extend(c.encode_utf8(&mut [0; 4]).bytes().map(u16::from));
            continue;
        }
        let unit = match rest.next() {
            Some('u') => utf16_unit(&mut rest)?,
            Some('t') => u16::from(b'\t'),
            Some('n') => u16::from(b'\n'),
            Some('r') => u16::from(b'\r'),
            Some('f') => 0x0c,
            Some(other) => {
                utf16.extend_from_slice(other.encode_utf16(&mut [0; 2]));
                java.extend(other.encode_utf8(&mut [0; 4]).bytes().map(u16::from));
                continue;
            }
            None => continue,
        };
        utf16.push(unit);
        java.push(unit);
    }
    Ok(Resolved { utf16, java: String::from_utf16_lossy(&java), comment_at })
}

fn utf16_unit(rest: &mut impl Iterator<Item = char>) -> Result<u16, String> {
    let digits: String = rest.take(4).collect();
    let valid = digits.len() == 4 && digits.chars().all(|c| c.is_ascii_hexdigit());
    let unit = valid.then(|| u16::from_str_radix(&digits, 16).ok()).flatten();
    unit.ok_or_else(|| format!("expected four hexadecimal digits behind \\u, found \"{digits}\""))
}

/// `String.trim`: everything up to the blank goes.
pub(super) fn java_trim(s: &str) -> &str {
    s.trim_matches(|c| c <= ' ')
}

const BLANKS: [char; 3] = [' ', '\t', '\x0c'];
const SEPARATORS: [char; 2] = ['=', ':'];

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<(u32, String, String)> {
        let entries = parse("test.cfg", text.as_bytes()).unwrap();
        entries.into_iter().map(|e| (e.line, e.key, e.value)).collect()
    }

    fn pairs(text: &str) -> Vec<(String, String)> {
        read(text).into_iter().map(|(_, key, value)| (key, value)).collect()
    }

    fn pair(key: &str, value: &str) -> Vec<(String, String)> {
        vec![(key.to_owned(), value.to_owned())]
    }

    #[test]
    fn equals_colon_and_blank_separate_and_only_the_first_counts() {
        for line in ["a=b", "a:b", "a b", "a\tb", "a = b", " a : b", "a\x0cb", "a =b", "a= b", "  a   b"] {
            assert_eq!(pairs(line), pair("a", "b"), "{line:?}");
        }
        assert_eq!(pairs("a==b"), pair("a", "=b"));
        assert_eq!(pairs("a = :b"), pair("a", ":b"));
        assert_eq!(pairs("a b=c"), pair("a", "b=c"));
        assert_eq!(pairs("server.1=h:2888:3888"), pair("server.1", "h:2888:3888"));
        assert_eq!(pairs("=b"), pair("", "b"));
        assert_eq!(pairs("a"), pair("a", ""));
    }

    #[test]
    fn comments_begin_lines_only_and_are_not_continued() {
        assert_eq!(pairs("#a=b\\\nc=d"), pair("c", "d"));
        assert_eq!(pairs("  ! a=b\n\t# x\n\nc=d"), pair("c", "d"));
        assert_eq!(pairs("a=b\\\n#c"), pair("a", "b#c"));
    }

    #[test]
    fn an_odd_number_of_backslashes_continues_the_line() {
        assert_eq!(pairs("a=b,\\\n   c"), pair("a", "b,c"));
        assert_eq!(pairs("a=b\\\\\nc=d"), vec![pair("a", "b\\")[0].clone(), pair("c", "d")[0].clone()]);
        assert_eq!(pairs("a=b\\\\\\\nc=d"), pair("a", "b\\c=d"));
        assert_eq!(pairs("a=b\\\n\nc=d"), vec![pair("a", "b")[0].clone(), pair("c", "d")[0].clone()]);
        assert_eq!(pairs("a=b\\"), pair("a", "b"));
        assert_eq!(pairs("\\\n\na=b"), pair("a", "b"));
        assert_eq!(pairs("\\\n#a=b"), pair("#a", "b"));
    }

    #[test]
    fn escapes_stand_for_their_characters() {
        assert_eq!(pairs(r"a\ b\=c\:d=e"), pair("a b=c:d", "e"));
        assert_eq!(pairs(r"a=\u0041\u00e9\ud83d\ude00"), pair("a", "Aé😀"));
        assert_eq!(pairs(r"a=x\ty\z\\"), pair("a", "x\tyz\\"));
        let error = parse("test.cfg", b"\n a=\\u00g1").unwrap_err();
        assert_eq!(
            error.to_string(),
            "test.cfg, line 2: expected four hexadecimal digits behind \\u, found \"00g1\""
        );
    }

    #[test]
    fn every_line_ending_ends_a_line_and_numbers_stay_right() {
        let got = read("a=1\r\nb=2\rc=3\n\n# x\nd=4\\\n5\ne=6");
        let want = [(1, "a", "1"), (2, "b", "2"), (3, "c", "3"), (6, "d", "45"), (8, "e", "6")];
        let want: Vec<_> = want.iter().map(|(n, k, v)| (*n, (*k).to_owned(), (*v).to_owned())).collect();
        assert_eq!(got, want);
    }

    #[test]
    fn blanks_around_values_are_trimmed_as_zookeeper_trims() {
        assert_eq!(pairs("a=b \t "), pair("a", "b"));
        assert_eq!(pairs("a=\\ b"), pair("a", "b"));
    }

    #[test]
    fn a_comment_behind_a_value_is_told_apart_from_what_java_reads() {
        let entries = parse("test.cfg", b"tickTime=2000 #beats").unwrap();
        assert_eq!(entries[0].value, "2000");
        assert_eq!(entries[0].java, Some(Differs { value: "2000 #beats".to_owned(), comment: true }));
        assert_eq!(pairs("a= # nothing"), pair("a", ""));
        for literal in ["a=b#c", "a=#b", "a=b \\#c"] {
            assert_eq!(parse("test.cfg", literal.as_bytes()).unwrap()[0].java, None, "{literal}");
        }
    }

    #[test]
    fn utf8_is_read_as_meant_and_java_s_reading_is_known() {
        let entries = parse("test.cfg", "dataDir=/dätä".as_bytes()).unwrap();
        assert_eq!(entries[0].value, "/dätä");
        assert_eq!(entries[0].java, Some(Differs { value: "/dÃ¤tÃ¤".to_owned(), comment: false }));
        let latin = parse("test.cfg", b"dataDir=/d\xe4").unwrap();
        assert_eq!((latin[0].value.as_str(), latin[0].line), ("/dä", 1));
    }

    #[test]
    fn a_byte_order_mark_is_no_part_of_the_first_key() {
        assert_eq!(pairs("\u{feff}a=b"), pair("a", "b"));
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]
        #[test]
        fn what_is_escaped_reads_back(key in "[ -~äλ]{1,12}", value in "[ -~äλ]{0,12}") {
            let escape = |s: &str| s.chars().fold(String::new(), |out, c| out + "\\" + &match c {
                't' | 'n' | 'r' | 'f' | 'u' => format!("u{:04x}", u32::from(c)),
                c => c.to_string(),
            });
            let line = format!("{}={}", escape(&key), escape(&value));
            proptest::prop_assert_eq!(pairs(&line), pair(java_trim(&key), java_trim(&value)));
        }

        #[test]
        fn no_bytes_upset_the_reader(bytes in proptest::collection::vec(0u8..=255, 0..64)) {
            let _ = parse("test.cfg", &bytes);
        }
    }
}
