//! The media type of a file by its name, as Python's `mimetypes.guess_type` finds it, which the original uses. Pure.

use std::borrow::Cow;

/// Type and coding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Media {
    pub(super) kind: &'static str,
    /// Of the file as it is: `page.html.gz` is HTML, compressed.
    pub(super) coding: Option<&'static str>,
}

const UNKNOWN: &str = "application/octet-stream";

/// Endings that stand for two.
const DOUBLE: [(&str, &str); 6] = [
    (".svgz", ".svg.gz"),
    (".tgz", ".tar.gz"),
    (".taz", ".tar.gz"),
    (".tz", ".tar.gz"),
    (".tbz2", ".tar.bz2"),
    (".txz", ".tar.xz"),
];
const CODINGS: [(&str, &str); 5] = [
    (".gz", "gzip"),
    (".Z", "compress"),
    (".bz2", "bzip2"),
    (".xz", "xz"),
    (".br", "br"),
];

/// Where Python's own table says something else than `mime_guess`.
const AS_PYTHON: &[(&str, &str)] = &[
    ("3g2", "audio/3gpp2"),
    ("3gp", "audio/3gpp"),
    ("3gpp", "audio/3gpp"),
    ("3gpp2", "audio/3gpp2"),
    ("a", UNKNOWN),
    ("aif", "audio/x-aiff"),
    ("aifc", "audio/x-aiff"),
    ("aiff", "audio/x-aiff"),
    ("bat", "text/plain"),
    ("cdf", "application/x-netcdf"),
    ("dll", UNKNOWN),
    ("h5", "application/x-hdf5"),
    ("ico", "image/vnd.microsoft.icon"),
    ("ksh", "text/plain"),
    ("m3u", "application/vnd.apple.mpegurl"),
    ("m3u8", "application/vnd.apple.mpegurl"),
    ("mif", "application/x-mif"),
    // As Python has it since 3.12, and RFC 9239.
    ("mjs", "text/javascript"),
    ("o", UNKNOWN),
    ("obj", UNKNOWN),
    ("opus", "audio/opus"),
    ("pl", "text/plain"),
    ("py", "text/x-python"),
    ("pyc", "application/x-python-code"),
    ("pyo", "application/x-python-code"),
    ("ram", "application/x-pn-realaudio"),
    ("rdf", "application/xml"),
    ("sgm", "text/x-sgml"),
    ("sgml", "text/x-sgml"),
    ("srt", "text/plain"),
    ("wav", "audio/x-wav"),
    ("wsdl", "application/xml"),
    ("xlb", "application/vnd.ms-excel"),
    ("xpdl", "application/xml"),
    ("xsl", "application/xml"),
];

impl Media {
    /// Of the file at this path.
    pub(super) fn of(path: &[u8]) -> Media {
        let name = path.rsplit(|&byte| byte == b'/').next().unwrap_or_default();
        let mut name = String::from_utf8_lossy(name);
        let (_, ending) = split(&name);
        let double = DOUBLE
            .iter()
            .find(|(short, _)| ending.eq_ignore_ascii_case(short));
        if let Some((short, long)) = double {
            name = Cow::Owned(format!("{}{long}", &name[..name.len() - short.len()]));
        }
        let (base, ending) = split(&name);
        match CODINGS.iter().find(|(coded, _)| *coded == ending) {
            Some((_, coding)) => Media {
                kind: kind(split(base).1),
                coding: Some(coding),
            },
            None => Media {
                kind: kind(ending),
                coding: None,
            },
        }
    }
}

/// As `os.path.splitext`: dots at the beginning belong to the name.
fn split(name: &str) -> (&str, &str) {
    let dots = name.len() - name.trim_start_matches('.').len();
    match name[dots..].rfind('.') {
        Some(dot) => name.split_at(dots + dot),
        None => (name, ""),
    }
}

fn kind(ending: &str) -> &'static str {
    let Some(ending) = ending.strip_prefix('.') else {
        return UNKNOWN;
    };
    let same = AS_PYTHON
        .iter()
        .find(|(known, _)| ending.eq_ignore_ascii_case(known));
    match same {
        Some((_, kind)) => kind,
        None => mime_guess::from_ext(ending).first_raw().unwrap_or(UNKNOWN),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_those_of_the_original() {
        for (name, kind, coding) in [
            ("index.html", "text/html", None),
            ("a.TXT", "text/plain", None),
            ("a.css", "text/css", None),
            ("a.js", "text/javascript", None),
            ("a.mjs", "text/javascript", None),
            ("a.json", "application/json", None),
            ("a.svg", "image/svg+xml", None),
            ("a.png", "image/png", None),
            ("a.jpeg", "image/jpeg", None),
            ("a.webp", "image/webp", None),
            ("favicon.ico", "image/vnd.microsoft.icon", None),
            ("a.woff2", "font/woff2", None),
            ("a.wasm", "application/wasm", None),
            ("a.pdf", "application/pdf", None),
            ("a.zip", "application/zip", None),
            ("a.xml", "text/xml", None),
            ("a.mp4", "video/mp4", None),
            ("a.mp3", "audio/mpeg", None),
            ("a.csv", "text/csv", None),
            ("a.py", "text/x-python", None),
            ("x.tar.gz", "application/x-tar", Some("gzip")),
            ("x.tgz", "application/x-tar", Some("gzip")),
            ("x.svgz", "image/svg+xml", Some("gzip")),
            ("a.js.br", "text/javascript", Some("br")),
            ("a.gz", UNKNOWN, Some("gzip")),
            ("noext", UNKNOWN, None),
            (".html", UNKNOWN, None),
            ("a.", UNKNOWN, None),
            ("a.unknownx", UNKNOWN, None),
            ("", UNKNOWN, None),
        ] {
            let path = format!("some.dir/{name}");
            assert_eq!(Media::of(path.as_bytes()), Media { kind, coding }, "{name}");
        }
    }

    #[test]
    fn names_that_are_no_text_have_no_type() {
        assert_eq!(Media::of(b"a/\xff.\xfe").kind, UNKNOWN);
    }
}
