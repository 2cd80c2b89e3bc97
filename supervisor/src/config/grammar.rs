//! The line grammar: what Python's strict `ConfigParser` makes of a file.
//!
//! rust-ini's own reader differs from it in comments, continuation lines, quotes, escapes and
//! duplicates, and keeps no line numbers; so the lines are understood here and nowhere else.

use super::document::{DEFAULT, OptionLine, Section};
use super::problem::Problem;
use super::text::{is_space, strip, strip_end};
use std::collections::HashSet;
use std::path::Path;

/// Problems beyond this many are not listed: a file like that is not an INI file.
const MAX_PROBLEMS: usize = 50;
/// Python decodes a file in pieces of this many bytes, and the lines of a piece are parsed before
/// the next one is decoded; so this decides which of two errors is the first.
const DECODE_CHUNK: usize = 8192;

/// Parses the bytes of a file into sections. The first problem is the one that `ConfigParser`
/// would raise; the others follow in line order.
pub(crate) fn parse(path: &Path, bytes: &[u8]) -> Result<Vec<Section>, Vec<Problem>> {
    let (text, undecodable) = match std::str::from_utf8(bytes) {
        Ok(text) => (text, None),
        Err(error) => {
            let place = bytes[..error.valid_up_to()]
                .iter()
                .filter(|byte| **byte == b'\n')
                .count()
                + 1;
            (
                seen_before(bytes, &error),
                Some((place, error.valid_up_to())),
            )
        }
    };
    let mut parser = Parser::new(path);
    for (index, line) in lines(text).enumerate() {
        parser.line(index + 1, line);
    }
    if let Some((line, offset)) = undecodable {
        let problem = Problem::new(
            "UnicodeDecodeError",
            format!("byte {offset} of the file is not UTF-8"),
        )
        .at(path, line)
        .hint("save the file as UTF-8");
        parser.fatal.push(problem);
        parser.malformed.clear();
    }
    parser.finish()
}

/// The lines that Python has parsed when it meets the byte that cannot be decoded.
fn seen_before<'a>(bytes: &'a [u8], error: &std::str::Utf8Error) -> &'a str {
    let valid = &bytes[..error.valid_up_to()];
    let detected = match error.error_len() {
        None => bytes.len(), // cut off at the end of the file
        Some(1) => error.valid_up_to(),
        Some(length) => error.valid_up_to() + length,
    };
    let decoded = (detected / DECODE_CHUNK * DECODE_CHUNK).min(valid.len());
    let decoded = if error.error_len().is_none() {
        valid.len()
    } else {
        decoded
    };
    let end = valid[..decoded]
        .iter()
        .rposition(|byte| *byte == b'\n')
        .map_or(0, |last| last + 1);
    std::str::from_utf8(&valid[..end]).unwrap_or_default()
}

/// Universal newlines: LF, CR LF and a lone CR end a line, nothing else does.
fn lines(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let Some(end) = rest.find(['\n', '\r']) else {
            return Some(std::mem::take(&mut rest));
        };
        let (line, tail) = rest.split_at(end);
        rest = tail.strip_prefix("\r\n").unwrap_or(&tail[1..]);
        Some(line)
    })
}

struct Parser<'a> {
    path: &'a Path,
    sections: Vec<Section>,
    /// Lines of the values, joined at the end.
    values: Vec<Vec<Vec<String>>>,
    headers: HashSet<String>,
    /// Options of the current section, also those without a name.
    seen: HashSet<(String, String)>,
    section: Option<usize>,
    /// Whether a value can be continued; an option without a name cannot.
    open_value: Option<usize>,
    indent: usize,
    fatal: Vec<Problem>,
    malformed: Vec<Problem>,
    headless: bool,
}

impl<'a> Parser<'a> {
    fn new(path: &'a Path) -> Parser<'a> {
        Parser {
            path,
            sections: Vec::new(),
            values: Vec::new(),
            headers: HashSet::new(),
            seen: HashSet::new(),
            section: None,
            open_value: None,
            indent: 0,
            fatal: Vec::new(),
            malformed: Vec::new(),
            headless: false,
        }
    }

    fn line(&mut self, number: usize, line: &str) {
        let stripped = strip(line);
        if stripped.starts_with(['#', ';']) {
            return;
        }
        if stripped.is_empty() {
            self.continue_value(number, "");
            return;
        }
        let column = line.chars().take_while(|c| is_space(*c)).count();
        if column > self.indent && self.continue_value(number, stripped) {
            return;
        }
        self.indent = column;
        if let Some(name) = header(stripped) {
            self.header(number, name);
        } else if let Some(section) = self.section {
            match stripped.find(['=', ':']) {
                Some(at) => self.option(
                    number,
                    section,
                    strip_end(&stripped[..at]),
                    strip(&stripped[at + 1..]),
                ),
                None => self.malformed(
                    number,
                    format!(
                        "`{}` is neither a [section] nor an option (`name = value`)",
                        excerpt(stripped)
                    ),
                    header_hint(stripped),
                ),
            }
        } else if !self.headless {
            self.headless = true;
            let mut problem = Problem::new(
                "MissingSectionHeaderError",
                format!("no section headers before `{}`", excerpt(stripped)),
            )
            .at(self.path, number);
            problem.hint = Some(if stripped.starts_with('\u{feff}') {
                "the file starts with a byte order mark; save it as UTF-8 without one".to_owned()
            } else {
                let above = "put a header such as [app:main] above it";
                header_hint(stripped).unwrap_or(above).to_owned()
            });
            self.fatal(problem);
        }
    }

    /// Adds a line to the current value, if there is one.
    fn continue_value(&mut self, number: usize, text: &str) -> bool {
        let (Some(section), Some(option)) = (self.section, self.open_value) else {
            return false;
        };
        self.values[section][option].push(text.to_owned());
        self.sections[section].options[option].more.push(number);
        true
    }

    fn header(&mut self, number: usize, name: &str) {
        self.open_value = None;
        let known = self
            .sections
            .iter()
            .position(|section| section.name == name);
        if name != DEFAULT && !self.headers.insert(name.to_owned()) {
            let first = known.map_or(0, |index| self.sections[index].line);
            self.fatal(
                Problem::new(
                    "DuplicateSectionError",
                    format!("section [{name}] is there already, at line {first}"),
                )
                .at(self.path, number)
                .hint("merge the two, or rename one"),
            );
        }
        self.section = Some(known.unwrap_or_else(|| {
            self.sections.push(Section {
                name: name.to_owned(),
                line: number,
                options: Vec::new(),
            });
            self.values.push(Vec::new());
            self.sections.len() - 1
        }));
    }

    fn option(&mut self, number: usize, section: usize, name: &str, value: &str) {
        if name.is_empty() {
            self.malformed(number, "an option without a name".to_owned(), None);
        }
        let section_name = self.sections[section].name.clone();
        if !self.seen.insert((section_name.clone(), name.to_owned())) {
            let first = self.sections[section]
                .option(name)
                .map_or(0, |option| option.line);
            let mut message = format!("option `{name}` is in [{section_name}] already");
            if first > 0 {
                message.push_str(&format!(", at line {first}"));
            }
            self.fatal(
                Problem::new("DuplicateOptionError", message)
                    .at(self.path, number)
                    .hint("remove one of the two"),
            );
            self.open_value = None;
            return;
        }
        if name.is_empty() {
            self.open_value = None;
            return;
        }
        self.sections[section].options.push(OptionLine {
            name: name.to_owned(),
            value: String::new(),
            line: number,
            more: Vec::new(),
        });
        self.values[section].push(vec![value.to_owned()]);
        self.open_value = Some(self.values[section].len() - 1);
    }

    fn fatal(&mut self, problem: Problem) {
        if self.fatal.len() < MAX_PROBLEMS {
            self.fatal.push(problem);
        }
    }

    fn malformed(&mut self, number: usize, message: String, hint: Option<&str>) {
        if self.malformed.len() < MAX_PROBLEMS {
            let mut problem = Problem::new("ParsingError", message).at(self.path, number);
            problem.hint = hint.map(str::to_owned);
            self.malformed.push(problem);
        }
    }

    fn finish(self) -> Result<Vec<Section>, Vec<Problem>> {
        let mut problems = self.fatal;
        if !problems.is_empty() || !self.malformed.is_empty() {
            let first = problems.len().min(1);
            problems.extend(self.malformed);
            problems[first..].sort_by_key(|problem| problem.place.as_ref().map(|place| place.line));
            return Err(problems);
        }
        let mut sections = self.sections;
        for (section, values) in sections.iter_mut().zip(self.values) {
            for (option, lines) in section.options.iter_mut().zip(values) {
                option.value = strip_end(&lines.join("\n")).to_owned();
            }
        }
        Ok(sections)
    }
}

/// The name in a header: from the first bracket to the last, at least one character.
fn header(stripped: &str) -> Option<&str> {
    let rest = stripped.strip_prefix('[')?;
    let end = rest.rfind(']').filter(|end| *end > 0)?;
    Some(&rest[..end])
}

/// Enough of a line to recognise it.
/// What is wrong with a line that was to be a header.
fn header_hint(line: &str) -> Option<&'static str> {
    let inside = line.strip_prefix('[')?;
    Some(match inside.contains(']') {
        true => "a header has a name, as in [app:main]",
        false => "a header ends with `]`, as in [app:main]",
    })
}

fn excerpt(line: &str) -> String {
    let mut text: String = line.chars().take(60).collect();
    if text.len() < line.len() {
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sections(text: &str) -> Vec<Section> {
        parse(Path::new("x.ini"), text.as_bytes()).expect("a valid file")
    }

    fn value(text: &str, name: &str) -> String {
        let sections = sections(text);
        sections[0].option(name).expect("the option").value.clone()
    }

    fn classes(text: &[u8]) -> Vec<String> {
        let problems = parse(Path::new("x.ini"), text).expect_err("an invalid file");
        problems.into_iter().map(|problem| problem.class).collect()
    }

    #[test]
    fn the_first_delimiter_splits_name_and_value() {
        let text = "[s]\nhttp://host/path = app\ndomain ex.org port 80 /x = app\n/v2.1: api\nx = \"v\" \\\n";
        assert_eq!(value(text, "http"), "//host/path = app");
        assert_eq!(value(text, "domain ex.org port 80 /x"), "app");
        assert_eq!(value(text, "/v2.1"), "api");
        assert_eq!(value(text, "x"), "\"v\" \\");
    }

    #[test]
    fn each_line_of_a_value_knows_where_it_stands() {
        let read = sections("[x]\na = 1\n\n  # one\n  2\n  3\nb = 4\n");
        let option = read[0].option("a").expect("a");
        assert_eq!(option.value, "1\n\n2\n3");
        assert_eq!((option.line, &*option.more), (2, &[3, 5, 6][..]));
        assert!(read[0].option("b").expect("b").more.is_empty());
    }

    #[test]
    fn deeper_lines_continue_a_value_and_comments_in_it_vanish() {
        assert_eq!(
            value("[s]\na = 1\n    b = 2\n  # note\n\n   [x]\n\n", "a"),
            "1\nb = 2\n\n[x]"
        );
        assert_eq!(value("[s]\na =\n  v\n", "a"), "\nv");
        assert_eq!(value("[s]\na = 1 ; note\n", "a"), "1 ; note");
    }

    #[test]
    fn an_indented_section_is_a_section() {
        let sections = sections("  [s]\n  a = 1\n  b = 2\n");
        assert_eq!(sections[0].options.len(), 2);
    }

    #[test]
    fn a_header_that_is_none_is_explained() {
        let hint = |text: &str| {
            let problems = parse(Path::new("x.ini"), text.as_bytes()).expect_err("no file");
            problems[0].hint.clone().unwrap_or_default()
        };
        assert!(hint("[app:main\nx = 1\n").contains("ends with `]`"));
        assert!(hint("[s]\nx = 1\n[isolate\n").contains("ends with `]`"));
        assert!(hint("[]\n").contains("has a name"));
        assert!(hint("x = 1\n").contains("above it"));
    }

    #[test]
    fn a_header_ends_at_the_last_bracket() {
        assert_eq!(sections("[app:main] ; x\n")[0].name, "app:main");
        assert_eq!(sections("[a] # [b]\n")[0].name, "a] # [b");
        assert_eq!(sections("[app:b] = 1\n")[0].name, "app:b");
        assert_eq!(value("[s]\n[x = 1\n[] = 2\n", "[x"), "1");
    }

    #[test]
    fn every_kind_of_newline_ends_a_line_and_nothing_else_does() {
        let text = "[s]\ra = 1\r\nb = x\u{b}y\u{85}z\nc = 3";
        assert_eq!(value(text, "b"), "x\u{b}y\u{85}z");
        assert_eq!(sections(text)[0].options[2].line, 4);
    }

    #[test]
    fn default_may_be_repeated_but_not_its_options() {
        let merged = sections("[DEFAULT]\na = 1\n[x]\n[DEFAULT]\nb = 2\n");
        assert_eq!(merged[0].options.len(), 2);
        assert_eq!(
            classes(b"[DEFAULT]\na = 1\n[DEFAULT]\na = 2\n"),
            ["DuplicateOptionError"]
        );
    }

    #[test]
    fn the_first_problem_is_the_one_that_python_stops_at() {
        assert_eq!(
            classes(b"[a]\nbogus\nx=1\nx=2\n[a]\n"),
            [
                "DuplicateOptionError",
                "ParsingError",
                "DuplicateSectionError"
            ]
        );
        assert_eq!(
            classes(b"x = 1\n[a]\n[a]\n")[0],
            "MissingSectionHeaderError"
        );
        assert_eq!(
            classes("\u{feff}[a]\n".as_bytes()),
            ["MissingSectionHeaderError"]
        );
        assert_eq!(classes(b"[a]\nbogus\nworse\n= 1\n"), ["ParsingError"; 3]);
        assert_eq!(
            classes(b"[a]\n= 1\n= 2\n"),
            ["DuplicateOptionError", "ParsingError", "ParsingError"]
        );
    }

    #[test]
    fn bytes_that_are_not_utf8_are_found_before_the_lines_of_their_piece() {
        assert_eq!(classes(b"x = 1\n[a]\n\xff"), ["UnicodeDecodeError"]);
        let mut late = b"x = 1\n".to_vec();
        late.extend(b"# filler\n".repeat(1000));
        late.push(0xff);
        assert_eq!(
            classes(&late),
            ["MissingSectionHeaderError", "UnicodeDecodeError"]
        );
    }

    #[test]
    fn a_nul_is_data() {
        assert_eq!(value("[s]\na = \0\n", "a"), "\0");
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_parser_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = parse(Path::new("x.ini"), &bytes);
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in "([\\[\\]=:#; \\t\\r\\na%\u{1c}\u{85}é]|DEFAULT){0,80}") {
            let _ = parse(Path::new("x.ini"), text.as_bytes());
        }
    }
}
