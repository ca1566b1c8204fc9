//! Four-letter words: text in, text out, for people with `nc` and for old monitoring (client protocol §13). Formats are
//! those of Java 3.8 and 3.9, down to the missing newlines. Java: Command classes in `server.command`.

pub mod date;
mod dump;
mod facts;
mod mntr;
mod number;
mod stats;
mod watches;

pub use facts::{EnsembleFacts, Facts};
use zk_core::replica::{ClientService, RoleKind};

use crate::shared::Shared;

/// A word that a client may send as its first four bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // the names are the words
pub enum Word {
    Conf,
    Cons,
    Crst,
    Dirs,
    Dump,
    Envi,
    Gtmk,
    Hash,
    Isro,
    Mntr,
    Ruok,
    Srst,
    Srvr,
    Stat,
    Stmk,
    TelnetClose,
    Wchc,
    Wchp,
    Wchs,
}

const WORDS: [(Word, &str, [u8; 4]); 19] = [
    (Word::Conf, "conf", *b"conf"),
    (Word::Cons, "cons", *b"cons"),
    (Word::Crst, "crst", *b"crst"),
    (Word::Dirs, "dirs", *b"dirs"),
    (Word::Dump, "dump", *b"dump"),
    (Word::Envi, "envi", *b"envi"),
    (Word::Gtmk, "gtmk", *b"gtmk"),
    (Word::Hash, "hash", *b"hash"),
    (Word::Isro, "isro", *b"isro"),
    (Word::Mntr, "mntr", *b"mntr"),
    (Word::Ruok, "ruok", *b"ruok"),
    (Word::Srst, "srst", *b"srst"),
    (Word::Srvr, "srvr", *b"srvr"),
    (Word::Stat, "stat", *b"stat"),
    (Word::Stmk, "stmk", *b"stmk"),
    (Word::TelnetClose, "telnet close", [0xff, 0xf4, 0xff, 0xfd]),
    (Word::Wchc, "wchc", *b"wchc"),
    (Word::Wchp, "wchp", *b"wchp"),
    (Word::Wchs, "wchs", *b"wchs"),
];

/// Java's default trace mask. Nothing here is traced by it; it can be read and set as there.
pub(crate) const TRACE_MASK: i64 = 306;

impl Word {
    /// The word that these bytes are, if they are one.
    pub fn parse(bytes: [u8; 4]) -> Option<Self> {
        WORDS.iter().find(|(_, _, word)| *word == bytes).map(|(word, ..)| *word)
    }

    /// As the whitelist names it.
    pub fn name(self) -> &'static str {
        WORDS.iter().find(|(word, ..)| *word == self).expect("the table has all words").1
    }

    /// The words that [`Facts::whitelist`] may name.
    pub fn names() -> impl Iterator<Item = &'static str> {
        WORDS.iter().map(|(_, name, _)| *name)
    }
}

/// The answer to a word; `None` while what belongs to it is still to come. `behind` is what came after the word.
pub(super) fn answer(shared: &Shared, word: Word, behind: &[u8]) -> Option<String> {
    if !shared.facts.whitelist.contains(word.name()) {
        return Some(format!("{} is not executed because it is not in the whitelist.\n", word.name()));
    }
    if !shared.serves() {
        return without_service(shared, word, behind);
    }
    Some(match word {
        Word::Isro if shared.standing().clients == ClientService::ReadOnly => "ro".to_owned(),
        Word::Isro => "rw".to_owned(),
        Word::Ruok | Word::Gtmk | Word::Stmk | Word::TelnetClose | Word::Envi => {
            return always(shared, word, behind);
        }
        Word::Conf => facts::conf(shared),
        Word::Dirs => facts::dirs(shared),
        Word::Srvr => stats::srvr(shared),
        Word::Stat => stats::stat(shared),
        Word::Cons => stats::cons(shared),
        Word::Crst => stats::crst(shared),
        Word::Srst => stats::srst(shared),
        Word::Dump => dump::dump(shared),
        Word::Hash => stats::hash(shared),
        Word::Wchs => watches::wchs(shared),
        Word::Wchc => watches::wchc(shared),
        Word::Wchp => watches::wchp(shared),
        Word::Mntr => mntr::mntr(shared),
    })
}

/// What a server that has no leader answers.
fn without_service(shared: &Shared, word: Word, behind: &[u8]) -> Option<String> {
    const NOT_SERVING: &str = "This ZooKeeper instance is not currently serving requests";
    match word {
        Word::Ruok | Word::Gtmk | Word::Stmk | Word::TelnetClose | Word::Envi => always(shared, word, behind),
        Word::Isro => Some("null".to_owned()),
        Word::Hash => Some(NOT_SERVING.to_owned()),
        _ => Some(format!("{NOT_SERVING}\n")),
    }
}

/// What does not depend on whether there is a leader.
fn always(shared: &Shared, word: Word, behind: &[u8]) -> Option<String> {
    Some(match word {
        Word::Gtmk => shared.trace_mask().to_string(),
        Word::Stmk => {
            let mask = i64::from_be_bytes(*behind.first_chunk()?);
            shared.set_trace_mask(mask);
            mask.to_string()
        }
        Word::TelnetClose => String::new(),
        Word::Envi => facts::envi(shared),
        _ => "imok".to_owned(),
    })
}

/// What a server that serves is called.
pub(super) const fn mode(role: RoleKind) -> &'static str {
    match role {
        RoleKind::Standalone => "standalone",
        RoleKind::Leading => "leader",
        RoleKind::Following => "follower",
        RoleKind::Observing => "observer",
        // It is asked only while it serves.
        RoleKind::Looking => "read-only",
    }
}
