//! Configurations of several files that refer to each other in every way that the dialect knows.
//!
//! Sections are made on demand, from the root down, so references lead to finished sections and trees end; what does
//! not (cycles, unknown names, missing options) is put in on purpose, a few times in a case.

use super::{chance, pick};
use fastrand::Rng;
use indexmap::IndexMap;
use std::fmt::Write;

/// Files and the question about them.
pub(crate) struct Site {
    /// Relative path and text; the first is the one that is asked about.
    pub(crate) files: Vec<(&'static str, String)>,
    pub(crate) uri: String,
    pub(crate) name: Option<String>,
    pub(crate) kind: &'static str,
    pub(crate) global_conf: IndexMap<String, String>,
}

const PATHS: [&str; 3] = ["main.ini", "lib.ini", "sub dir/deep.ini"];
/// How the file of the row writes the path of the file of the column in a `config:` URI.
const LINKS: [[&str; 3]; 3] = [
    [
        "config:main.ini",
        "config:lib.ini",
        "config:sub%%20dir/deep.ini",
    ],
    [
        "config:%(here)s/main.ini",
        "CONFIG:./lib.ini",
        "config:sub dir\\deep.ini",
    ],
    [
        "config:../main.ini",
        "config:../sub dir/../lib.ini",
        "config:deep.ini",
    ],
];
const GLOBALS: [&str; 5] = ["g1", "g2", "g3", "debug", "opt1"];
const WORDS: [&str; 8] = [
    "1",
    "true",
    "two words",
    "",
    "100%%",
    "é",
    "a=b",
    "x\n    y",
];
/// Levels of references below the root.
const DEEPEST: usize = 4;

pub(crate) fn site(rng: &mut Rng) -> Site {
    let spoils = if chance(rng, 85) { rng.u32(1..5) } else { 0 };
    let mut builder = Builder {
        rng: rng.clone(),
        files: Default::default(),
        counter: 0,
        spoils,
        open: Vec::new(),
    };
    let (kind, name) = builder.root();
    let global_conf = builder.global_conf();
    let (uri, name) = builder.address(name);
    *rng = builder.rng.clone();
    let texts = builder.files.iter().map(|file| disguise(rng, &file.text()));
    let files = PATHS.into_iter().zip(texts).collect();
    Site {
        files,
        uri,
        name,
        kind,
        global_conf,
    }
}

/// The same configuration in other words, mostly: comments, empty lines, other delimiters, indented sections.
fn disguise(rng: &mut Rng, text: &str) -> String {
    if chance(rng, 60) {
        return text.to_owned();
    }
    let indent = pick(rng, &["", "", "  ", "\t"]);
    let mut disguised = String::new();
    for line in text.lines() {
        if chance(rng, 10) {
            disguised.push_str(pick(rng, &["# note\n", "\n", "    ; note\n", " \t\n"]));
        }
        let line = match line.split_once(" = ") {
            Some((name, value)) if !line.starts_with(' ') && chance(rng, 20) => {
                format!(
                    "{name}{}{value}",
                    pick(rng, &[":", "=", "\t:   ", " = \u{a0}"])
                )
            }
            _ => line.to_owned(),
        };
        let _ = writeln!(
            disguised,
            "{indent}{line}{}",
            pick(rng, &["", "", "", " ", "\r"])
        );
    }
    disguised
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    App,
    Filter,
}

#[derive(Default)]
struct File {
    defaults: Vec<(String, String)>,
    sections: Vec<String>,
    /// Finished sections that may be referred to.
    apps: Vec<String>,
    filters: Vec<String>,
}

impl File {
    fn text(&self) -> String {
        let mut text = String::new();
        if !self.defaults.is_empty() {
            text.push_str("[DEFAULT]\n");
            for (name, value) in &self.defaults {
                let _ = writeln!(text, "{name} = {value}");
            }
        }
        text + &self.sections.concat()
    }
}

/// The options of a section that is being made.
type Options = Vec<(String, String)>;

struct Builder {
    rng: Rng,
    files: [File; 3],
    counter: usize,
    /// Mistakes still to be made.
    spoils: u32,
    /// Apps that are being made: to refer to one of them is a cycle.
    open: Vec<String>,
}

impl Builder {
    fn root(&mut self) -> (&'static str, Option<String>) {
        for file in 0..PATHS.len() {
            self.defaults(file);
        }
        match self.rng.usize(..12) {
            0 => {
                let mut options = vec![self.any(&[
                    ("use", "egg:Shop"),
                    ("use", "call:shop:serve"),
                    ("paste.server_factory", "s:f"),
                    ("paste.server_runner", "s:r"),
                ])];
                self.decorate(0, &mut options);
                self.section(0, "server", "main", options);
                ("server", None)
            }
            1 => {
                let name = self.new_filter(0, 1);
                ("filter", Some(name))
            }
            2 => {
                let name = self.new_app(0, 1, None);
                ("app", Some(name))
            }
            _ => {
                self.new_app(0, 0, Some("main"));
                ("app", None)
            }
        }
    }

    /// URI and name, in one of the ways to say the same.
    fn address(&mut self, name: Option<String>) -> (String, Option<String>) {
        match (self.rng.usize(..4), name) {
            (0, Some(name)) => (format!("main.ini#{name}"), None),
            (1, Some(name)) => (format!("CONFIG:./main.ini#{name}"), None),
            (0, None) => (
                "config:sub%20dir/../main.ini".to_owned(),
                Some("main".to_owned()),
            ),
            (1, None) => ("main.ini#main".to_owned(), None),
            (_, name) => ("main.ini".to_owned(), name),
        }
    }

    fn global_conf(&mut self) -> IndexMap<String, String> {
        let count = if chance(&mut self.rng, 35) {
            self.rng.usize(1..4)
        } else {
            0
        };
        (0..count)
            .map(|_| {
                let name = pick(
                    &mut self.rng,
                    &[
                        "g1",
                        "g2",
                        "opt2",
                        "debug",
                        "fresh",
                        "opt3",
                        "get got",
                        "set fresh",
                        "x.y",
                        "here",
                        "g3",
                    ],
                );
                (
                    name.to_owned(),
                    pick(&mut self.rng, &["caller", "", "5%%", "%(g1)s", "g1"]).to_owned(),
                )
            })
            .collect()
    }

    fn defaults(&mut self, file: usize) {
        for name in GLOBALS {
            if chance(&mut self.rng, 50) {
                let value = self.value(file, &[]);
                self.files[file].defaults.push((name.to_owned(), value));
            }
        }
        if chance(&mut self.rng, 8) {
            let (name, value) = self.any(&[
                ("set g4", "from default"),
                ("get got", "g1"),
                ("use_of", "x"),
                ("set opt4", "4"),
                ("not_found_app", ""),
                ("not_found_app", "egg:Shop"),
                ("set use", "egg:Shop"),
            ]);
            self.files[file].defaults.push((name, value));
        }
        if self.spoil(2) {
            let (name, value) = self.any(&[
                ("bad", "%(none)s"),
                ("bad", "50%"),
                ("use", "hidden"),
                ("filter-with", "hidden"),
                ("next", "hidden"),
            ]);
            self.files[file].defaults.push((name, value));
        }
    }

    /// True if a mistake is to be made here.
    fn spoil(&mut self, percent: u32) -> bool {
        let now = self.spoils > 0 && chance(&mut self.rng, percent);
        self.spoils -= u32::from(now);
        now
    }

    fn any(&mut self, from: &[(&str, &str)]) -> (String, String) {
        let (name, value) = from[self.rng.usize(..from.len())];
        (name.to_owned(), value.to_owned())
    }

    /// A value that mostly expands.
    fn value(&mut self, file: usize, options: &[(String, String)]) -> String {
        let mut value = WORDS[self.rng.usize(..WORDS.len())].to_owned();
        if chance(&mut self.rng, 25) {
            let known = self.files[file]
                .defaults
                .iter()
                .chain(options)
                .map(|(name, _)| name.as_str());
            let mut known: Vec<&str> = known.filter(|name| !name.contains(' ')).collect();
            known.push("here");
            let _ = write!(value, "%({})s", known[self.rng.usize(..known.len())]);
        }
        if self.spoil(2) {
            value.push_str(pick(&mut self.rng, &["%", "%(none)s", "%(g1)", "%(g4)s"]));
        }
        value
    }

    /// Options that are neither factory nor reference.
    fn decorate(&mut self, file: usize, options: &mut Options) {
        for _ in 0..self.rng.usize(..4) {
            let name = match self.rng.usize(..12) {
                0 | 1 => format!(
                    "set {}",
                    pick(
                        &mut self.rng,
                        &["g1", "g2", "g4", "opt1", "debug", "here", "opt2"]
                    )
                ),
                2 => "require".to_owned(),
                3 => {
                    let known: Vec<String> = self.files[file]
                        .defaults
                        .iter()
                        .map(|(name, _)| name.clone())
                        .collect();
                    let mut known: Vec<&str> = known.iter().map(String::as_str).collect();
                    known.push("here");
                    let source = if self.spoil(15) {
                        "none"
                    } else {
                        pick(&mut self.rng, &known)
                    };
                    options.push((
                        format!("get {}", pick(&mut self.rng, &["got", "opt2", "opt5"])),
                        source.to_owned(),
                    ));
                    continue;
                }
                _ => pick(
                    &mut self.rng,
                    &[
                        "opt1", "opt2", "opt3", "opt4", "g1", "debug", "x.y", "Opt 5",
                    ],
                )
                .to_owned(),
            };
            let value = match name.as_str() {
                "require" if self.spoil(10) => "Shop Nowhere".to_owned(),
                "require" => pick(&mut self.rng, &["Shop", "", "shop\n  Shop_Extras"]).to_owned(),
                _ => self.value(file, options),
            };
            options.push((name, value));
        }
    }

    /// Writes a section; options of the same name but the first are left out.
    fn section(&mut self, file: usize, prefix: &str, name: &str, mut options: Options) {
        if chance(&mut self.rng, 30) {
            self.rng.shuffle(&mut options);
        }
        let mut text = format!("[{prefix}:{name}]\n");
        let mut seen: Vec<String> = Vec::new();
        for (name, value) in options {
            let repeated = seen.contains(&name);
            if !repeated || self.spoil(1) {
                let _ = writeln!(text, "{name} = {value}");
                seen.push(name);
            }
        }
        if self.spoil(2) {
            let prefix = pick(
                &mut self.rng,
                &["app", "composite", "filter", "pipeline", "filter-app"],
            );
            let _ = writeln!(text, "[{prefix}: {name} ]\nuse = call:other:one");
        }
        self.files[file].sections.push(text);
    }

    fn fresh_name(&mut self) -> String {
        self.counter += 1;
        let shape = pick(
            &mut self.rng,
            &["s", "s", "s", "app-", "v1.", "a/b", "1a:b", "a#", "é"],
        );
        format!("{shape}{}", self.counter)
    }

    /// How `file` refers to an app or filter: a section of its own, of another file, or a distribution.
    fn reference(&mut self, file: usize, depth: usize, kind: Kind) -> String {
        if self.spoil(5) {
            return pick(
                &mut self.rng,
                &[
                    "nowhere",
                    "main",
                    "config:none.ini",
                    "egg:Nowhere",
                    "egg:Twice",
                    "egg:Shop#config:lib.ini",
                    "config:main.ini",
                    "config:",
                    "egg:Shop#",
                    "egg:Shop#none",
                    "egg:#x",
                    "call:m",
                    "call:a:b:c",
                    "call:m:a.b",
                    "config:lib.ini#nowhere",
                    "",
                ],
            )
            .to_owned();
        }
        if !self.open.is_empty() && self.spoil(2) {
            return self.open[self.rng.usize(..self.open.len())].clone();
        }
        match self.rng.usize(..20) {
            0 | 1 => match kind {
                Kind::App => pick(
                    &mut self.rng,
                    &[
                        "egg:Shop",
                        "egg:shop#api",
                        "egg:Shop-Extras#main",
                        "call:m.n:f",
                        "egg:Shop#comp",
                    ],
                ),
                Kind::Filter => pick(
                    &mut self.rng,
                    &[
                        "egg:Shop",
                        "egg:SHOP#gate",
                        "egg:shop.extras#wrap",
                        "call:m.n:f",
                    ],
                ),
            }
            .to_owned(),
            2..=4 => {
                let other = self.rng.usize(..PATHS.len());
                let link = LINKS[file][other];
                match self.known_or_new(other, depth, kind) {
                    // A fragment is split off at the first `#`, which keeps the rest.
                    name if name.starts_with("egg:") => name,
                    name => format!("{link}#{name}"),
                }
            }
            _ => self.known_or_new(file, depth, kind),
        }
    }

    fn known_or_new(&mut self, file: usize, depth: usize, kind: Kind) -> String {
        let known = match kind {
            Kind::App => &self.files[file].apps,
            Kind::Filter => &self.files[file].filters,
        };
        if !known.is_empty() && (chance(&mut self.rng, 25) || depth > DEEPEST) {
            return known[self.rng.usize(..known.len())].clone();
        }
        match kind {
            Kind::App => self.new_app(file, depth + 1, None),
            Kind::Filter => self.new_filter(file, depth + 1),
        }
    }

    fn new_app(&mut self, file: usize, depth: usize, name: Option<&str>) -> String {
        let name = name.map_or_else(|| self.fresh_name(), str::to_owned);
        self.open.push(name.clone());
        let mut options = Options::new();
        let shape = match depth {
            0 | 1 => self.rng.usize(4..20),
            DEEPEST.. => self.rng.usize(..3),
            _ => self.rng.usize(..20),
        };
        let prefix = match shape {
            0..=3 => self.leaf(&mut options),
            4..=7 => {
                let used = self.reference(file, depth, Kind::App);
                options.push(("use".to_owned(), used));
                pick(
                    &mut self.rng,
                    &["app", "app", "application", "composite", "composit"],
                )
            }
            8..=11 => self.urlmap(file, depth, &mut options),
            12 => self.cascade(file, depth, &mut options),
            13 => {
                options.push(self.any(&[
                    ("paste.composite_factory", "m:f"),
                    ("use", "egg:Shop#comp"),
                    ("paste.composit_factory", "m.n:f"),
                    ("use", "call:m:make"),
                ]));
                options.push(("members".to_owned(), "a b".to_owned()));
                "composite"
            }
            14..=17 => self.pipeline(file, depth, &mut options),
            _ => {
                if !self.spoil(10) {
                    let next = self.reference(file, depth, Kind::App);
                    options.push(("next".to_owned(), next));
                }
                self.filter_factory(file, depth, &mut options);
                "filter-app"
            }
        };
        // Any option of a urlmap is a route, of a pipeline a mistake.
        match shape {
            8..=17 if depth < DEEPEST => {
                if chance(&mut self.rng, 20) {
                    let value = self.value(file, &[]);
                    options.push((
                        format!("set {}", pick(&mut self.rng, &["g1", "g4", "opt1"])),
                        value,
                    ));
                }
            }
            _ => self.decorate(file, &mut options),
        }
        if chance(&mut self.rng, 10) {
            let filter = self.reference(file, depth, Kind::Filter);
            options.push(("filter-with".to_owned(), filter));
        }
        self.section(file, prefix, &name, options);
        self.open.pop();
        self.files[file].apps.push(name.clone());
        name
    }

    fn leaf(&mut self, options: &mut Options) -> &'static str {
        if self.spoil(10) {
            options.extend([
                ("paste.app_factory".to_owned(), "m:f".to_owned()),
                ("paste.composite_factory".to_owned(), "m:g".to_owned()),
            ]);
        } else if !self.spoil(10) {
            let bad = self.spoil(10);
            options.push(match bad {
                true => self.any(&[
                    ("paste.app_factory", "m f!"),
                    ("paste.app_factory", ""),
                    ("use", "call:m"),
                    ("paste.app_factory", "m:f:g"),
                ]),
                false => self.any(&[
                    ("paste.app_factory", "m:f"),
                    ("paste.app_factory", "pkg.mod : Class.make [extra]"),
                    ("use", "egg:Shop"),
                    ("use", "call:m.n:f"),
                    ("paste.app_factory", "m"),
                    ("use", "EGG:shop.extras#api"),
                ]),
            });
        }
        pick(
            &mut self.rng,
            &["app", "app", "app", "application", "composite"],
        )
    }

    fn urlmap(&mut self, file: usize, depth: usize, options: &mut Options) -> &'static str {
        options.push(self.any(&[
            ("use", "egg:Paste#urlmap"),
            ("use", "egg:paste#urlmap"),
            ("paste.composite_factory", "paste.urlmap:urlmap_factory"),
            ("use", "call:paste.urlmap:urlmap_factory"),
        ]));
        let mut keys = vec![
            "/",
            "/a",
            "/a/b",
            "/a//b/",
            "domain ex.org /x",
            "domain ex.org port 8080 x",
            "port 1 domain Ex.org",
            "/é",
            "/v2.0",
        ];
        self.rng.shuffle(&mut keys);
        if self.spoil(10) {
            keys.insert(
                0,
                pick(
                    &mut self.rng,
                    &[
                        "debug",
                        "domain",
                        "port 80 /",
                        "/a /b",
                        "domain a domain b",
                        "a/b",
                    ],
                ),
            );
        }
        for key in &keys[..self.rng.usize(1..7)] {
            let target = self.reference(file, depth, Kind::App);
            options.push(((*key).to_owned(), target));
        }
        if chance(&mut self.rng, 15) {
            let target = self.reference(file, depth, Kind::App);
            options.push(("not_found_app".to_owned(), target));
        }
        pick(
            &mut self.rng,
            &["composite", "composite", "composit", "app"],
        )
    }

    fn cascade(&mut self, file: usize, depth: usize, options: &mut Options) -> &'static str {
        options.push(("use".to_owned(), "egg:Paste#cascade".to_owned()));
        let mut keys = ["app1", "app10", "app2", "app", "apple"];
        self.rng.shuffle(&mut keys);
        for key in &keys[..self.rng.usize(1..5)] {
            let target = self.reference(file, depth, Kind::App);
            options.push(((*key).to_owned(), target));
        }
        if chance(&mut self.rng, 30) {
            let codes = if self.spoil(40) {
                pick(&mut self.rng, &["299", "x", "404,500"])
            } else {
                pick(&mut self.rng, &["404 500", "", "403\n 404"])
            };
            options.push(("catch".to_owned(), codes.to_owned()));
        }
        if self.spoil(10) {
            options.push(("member".to_owned(), "x".to_owned()));
        }
        pick(&mut self.rng, &["composite", "composit"])
    }

    fn pipeline(&mut self, file: usize, depth: usize, options: &mut Options) -> &'static str {
        if !self.spoil(5) {
            let empty = self.spoil(5);
            let mut items: Vec<String> = (0..self.rng.usize(..4))
                .map(|_| self.reference(file, depth, Kind::Filter))
                .collect();
            items.push(self.reference(file, depth, Kind::App));
            let glue = pick(&mut self.rng, &[" ", "\n    ", "  \t"]);
            // A reference with a space in it would be two items.
            items.retain(|item| !item.contains(' '));
            if items.is_empty() && !empty {
                items.push("egg:Shop".to_owned());
            }
            options.push((
                "pipeline".to_owned(),
                if empty {
                    String::new()
                } else {
                    items.join(glue)
                },
            ));
        }
        if self.spoil(10) {
            options.push(self.any(&[("extra", "1"), ("use", "egg:Shop"), ("get x", "here")]));
        }
        "pipeline"
    }

    fn filter_factory(&mut self, file: usize, depth: usize, options: &mut Options) {
        if self.spoil(4) {
            return;
        }
        let pair = match self.rng.usize(..10) {
            0..=2 => ("paste.filter_factory".to_owned(), "f.m:make".to_owned()),
            3 => ("paste.filter_app_factory".to_owned(), "f.m:Wrap".to_owned()),
            4 => {
                options.push(("paste.filter_factory".to_owned(), "f:one".to_owned()));
                ("paste.filter_app_factory".to_owned(), "f:two".to_owned())
            }
            5..=7 if depth < DEEPEST => {
                ("use".to_owned(), self.reference(file, depth, Kind::Filter))
            }
            _ => self.any(&[
                ("use", "egg:Shop"),
                ("use", "egg:Shop#gate"),
                ("use", "call:f:make"),
            ]),
        };
        options.push(pair);
    }

    fn new_filter(&mut self, file: usize, depth: usize) -> String {
        let name = self.fresh_name();
        let mut options = Options::new();
        self.filter_factory(file, depth, &mut options);
        self.decorate(file, &mut options);
        if chance(&mut self.rng, 10) && depth < DEEPEST {
            let filter = self.reference(file, depth, Kind::Filter);
            options.push(("filter-with".to_owned(), filter));
        }
        self.section(file, "filter", &name, options);
        self.files[file].filters.push(name.clone());
        name
    }
}
