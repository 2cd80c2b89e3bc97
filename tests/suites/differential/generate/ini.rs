//! Texts that go to the edges of the line grammar and of interpolation.

use super::{chance, pick};
use fastrand::Rng;
use indexmap::IndexMap;

/// One file and how to ask for it.
pub(crate) struct Text {
    pub(crate) bytes: Vec<u8>,
    pub(crate) global_conf: IndexMap<String, String>,
}

/// What a value may be made of; all of it is fine.
const ATOMS: [&str; 38] = [
    "x",
    "1",
    "true",
    "a b",
    "http://h/p?q=1",
    "k=v",
    "k: v",
    "\"q\"",
    "'",
    "; note",
    "# note",
    "\\",
    "[x]",
    "é",
    "日本",
    "\u{1c}x",
    "x\u{1f}",
    "\u{a0}",
    "\u{85}",
    "\u{2028}x",
    "\u{b}",
    "\u{c}x",
    "\u{200b}",
    "\u{feff}",
    "\0",
    "%%",
    "%%(a)s",
    "100%%",
    "$x",
    "{x}",
    "=",
    ":",
    "]",
    "rem x",
    "\t",
    "%%%%",
    "\u{3000}x\u{3000}",
    "ß\u{301}",
];

/// Names of ordinary options; a colon or equals sign in one ends it early.
const NAMES: [&str; 26] = [
    "a",
    "b",
    "c",
    "Key",
    "key",
    "long name",
    "/v2.1",
    "http://host/path",
    "domain ex.org port 80 /x",
    "é",
    "x.y",
    "[x",
    "a]",
    "%(a)s",
    "%",
    "\"q\"",
    "set s",
    "set  t ",
    "get u",
    "set",
    "setx",
    "use_it",
    "-",
    "/",
    "x#y",
    "x;y",
];

const SPOILED_VALUES: [&str; 10] = [
    "%",
    "50%",
    "%x",
    "%(a",
    "%(a)",
    "%()s",
    "%(missing)s",
    "% (a)s",
    "%(a)d",
    "%(self)s",
];

/// Lines that end the reading of a file, now or at its end.
const SPOILED_LINES: [&str; 8] = [
    "no delimiter",
    "= nameless",
    ": nameless",
    "[",
    "[]",
    "rem",
    "[open",
    "\\",
];

const DEFAULTS: [&str; 6] = ["a", "b", "port", "debug", "Key", "set g"];

pub(crate) fn text(rng: &mut Rng) -> Text {
    let mut writer = Writer {
        out: Vec::new(),
        ending: rng.usize(..6),
        rng: rng.clone(),
    };
    writer.file();
    let Writer { out, rng: used, .. } = writer;
    *rng = used;
    let mut global_conf = IndexMap::new();
    if chance(rng, 40) {
        for _ in 0..rng.usize(1..4) {
            let name = pick(
                rng,
                &[
                    "a", "b", "port", "Key", "new", "here", "use_it", "key", "c", "__file__",
                ],
            );
            global_conf.insert(
                name.to_owned(),
                pick(rng, &["1", "", "10%%", "two words", "%(a)s", "é", "a=b"]).to_owned(),
            );
        }
    }
    Text {
        bytes: out,
        global_conf,
    }
}

struct Writer {
    rng: Rng,
    out: Vec<u8>,
    /// Which line ends: mostly LF.
    ending: usize,
}

impl Writer {
    fn file(&mut self) {
        let spoiled = chance(&mut self.rng, 22);
        let spoiled_section = self.rng.usize(..3);
        self.noise(30);
        if chance(&mut self.rng, 1) {
            self.out.extend("\u{feff}".as_bytes());
        }
        if chance(&mut self.rng, 1) {
            self.line("early = 1");
        }
        let mut sections = vec!["DEFAULT", "app:main", "loggers"];
        if chance(&mut self.rng, 15) {
            sections[1] = pick(
                &mut self.rng,
                &[
                    "app: main",
                    "app:\u{a0}main",
                    "application:main",
                    "composite:main",
                    "app:main ",
                    "app:main]",
                ],
            );
        }
        if chance(&mut self.rng, 30) {
            sections.push(pick(
                &mut self.rng,
                &[
                    "default",
                    "DEFAULT ",
                    "app:other",
                    "server:main",
                    "x] # [y",
                    "é",
                    " ",
                ],
            ));
        }
        if chance(&mut self.rng, 2) {
            sections.push(sections[self.rng.usize(..3)]);
        }
        self.rng.shuffle(&mut sections);
        let mut known = Vec::new();
        for (index, section) in sections.into_iter().enumerate() {
            self.section(section, &mut known, spoiled && index == spoiled_section);
        }
        if chance(&mut self.rng, 1) {
            let at = self.rng.usize(..=self.out.len());
            self.out.insert(at, 0xff);
        }
    }

    fn section(&mut self, name: &str, known: &mut Vec<String>, spoiled: bool) {
        self.noise(25);
        let indent = if chance(&mut self.rng, 25) {
            pick(&mut self.rng, &[" ", "\t", "    ", "\u{a0}"])
        } else {
            ""
        };
        let after = if chance(&mut self.rng, 10) {
            pick(&mut self.rng, &[" ; note", " trailing", " = 1", "\t"])
        } else {
            ""
        };
        self.line(&format!("{indent}[{name}]{after}"));

        let mut names: Vec<&str> = match name {
            "DEFAULT" => DEFAULTS.into_iter().filter(|_| self.rng.bool()).collect(),
            _ => (0..self.rng.usize(..6))
                .map(|_| NAMES[self.rng.usize(..NAMES.len())])
                .collect(),
        };
        let mut seen = Vec::new();
        names.retain(|name| {
            let key = name
                .split([':', '='])
                .next()
                .unwrap_or_default()
                .trim_end()
                .to_owned();
            let new = !seen.contains(&key);
            seen.push(key);
            new
        });
        if chance(&mut self.rng, 1) {
            names.extend(names.first().copied());
        }
        let is_app = name.starts_with("app") || name.starts_with("comp");
        let factory = if is_app && chance(&mut self.rng, 97) {
            self.rng.usize(..=names.len())
        } else {
            usize::MAX
        };
        let bad = if spoiled {
            self.rng.usize(..=names.len())
        } else {
            usize::MAX
        };
        for index in 0..=names.len() {
            if index == factory {
                let line = pick(
                    &mut self.rng,
                    &[
                        "paste.app_factory = m:f",
                        "use = call:m:f",
                        "use:call:m.n:f",
                        "paste.app_factory : m.n : f.g [x]",
                        "use = egg:Shop",
                    ],
                );
                self.line(&format!("{indent}{line}"));
                if line.starts_with("use") && chance(&mut self.rng, 10) {
                    self.line(&format!("{indent}paste.app_factory = m:g"));
                }
            }
            if index == bad && chance(&mut self.rng, 50) {
                let line = SPOILED_LINES[self.rng.usize(..SPOILED_LINES.len())];
                self.line(line);
            }
            if let Some(&name) = names.get(index) {
                let spoiled = index == bad && chance(&mut self.rng, 80);
                self.option(indent, name, known, spoiled);
            }
        }
    }

    fn option(&mut self, indent: &str, name: &str, known: &mut Vec<String>, spoiled: bool) {
        let indent = if chance(&mut self.rng, 4) {
            "  "
        } else {
            indent
        };
        let delimiter = pick(
            &mut self.rng,
            &[
                " = ",
                "=",
                " =",
                ": ",
                ":",
                "\t=\t",
                " : ",
                "\u{a0}=\u{2003}",
                " == ",
            ],
        );
        let first = if chance(&mut self.rng, 15) {
            String::new()
        } else {
            self.value(known, spoiled)
        };
        let after = if chance(&mut self.rng, 10) {
            pick(&mut self.rng, &[" ", "\t", "\u{1d}", "\u{a0}"])
        } else {
            ""
        };
        self.line(&format!("{indent}{name}{delimiter}{first}{after}"));
        if first.is_empty() || chance(&mut self.rng, 15) {
            for _ in 0..self.rng.usize(..4) {
                self.noise(30);
                let deeper = pick(
                    &mut self.rng,
                    &["  ", "\t", "      ", "\u{a0}\u{a0}", " \t"],
                );
                let more = match self.rng.usize(..6) {
                    0 => "[header]".to_owned(),
                    1 => "key = value".to_owned(),
                    _ => self.value(known, false),
                };
                self.line(&format!("{indent}{deeper}{more}"));
            }
        }
        if chance(&mut self.rng, 70) {
            let key = name.split([':', '=']).next().unwrap_or_default().trim_end();
            // A name with a parenthesis cannot be referred to.
            if !key.contains(')') && !key.is_empty() {
                known.push(key.to_owned());
            }
        }
    }

    fn value(&mut self, known: &[String], spoiled: bool) -> String {
        let glue = pick(&mut self.rng, &[" ", "", "  "]);
        let mut parts: Vec<String> = (0..self.rng.usize(1..4))
            .map(|_| self.atom(known))
            .collect();
        if spoiled {
            parts.push(SPOILED_VALUES[self.rng.usize(..SPOILED_VALUES.len())].to_owned());
        }
        parts.join(glue)
    }

    fn atom(&mut self, known: &[String]) -> String {
        match self.rng.usize(..20) {
            0 => "%(here)s".to_owned(),
            1 => "%(__file__)s".to_owned(),
            // Mostly missing in the section at hand: rare, or nothing resolves.
            2 if !known.is_empty() && chance(&mut self.rng, 50) => {
                format!("%({})s", known[self.rng.usize(..known.len())])
            }
            _ => ATOMS[self.rng.usize(..ATOMS.len())].to_owned(),
        }
    }

    /// Comments, empty lines and lines of white space.
    fn noise(&mut self, percent: u32) {
        while chance(&mut self.rng, percent) {
            let line = pick(
                &mut self.rng,
                &[
                    "",
                    " ",
                    "\t",
                    "# note",
                    "; note",
                    "   # deeper",
                    "\t;x = 1",
                    "#",
                    "\u{a0}",
                    "\u{1e}# x",
                    "\u{c}",
                ],
            );
            self.line(line);
        }
    }

    fn line(&mut self, text: &str) {
        self.out.extend(text.as_bytes());
        let ending = match self.ending {
            0 => "\r\n",
            1 => "\r",
            2 => pick(&mut self.rng, &["\n", "\r\n", "\r"]),
            _ => "\n",
        };
        self.out.extend(ending.as_bytes());
    }
}
