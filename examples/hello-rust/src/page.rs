//! The page, as text.

use std::collections::VecDeque;
use std::fmt::Write;
use std::time::Duration;

/// The option `style`.
#[derive(Clone, Copy, Default, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Style {
    #[default]
    Light,
    Dark,
}

/// Which worker is speaking.
pub(crate) struct About {
    pub(crate) app: String,
    pub(crate) slot: u32,
    pub(crate) generation: u64,
}

/// All that the front page shows.
pub(crate) struct Front<'a> {
    pub(crate) about: &'a About,
    pub(crate) greeting: &'a str,
    pub(crate) style: Style,
    pub(crate) mount: &'a str,
    pub(crate) uptime: Duration,
    pub(crate) requests: u64,
    pub(crate) entries: &'a VecDeque<String>,
}

pub(crate) fn front(front: &Front<'_>) -> String {
    let (paper, ink) = match front.style {
        Style::Light => ("#fff", "#222"),
        Style::Dark => ("#222", "#eee"),
    };
    let About {
        app,
        slot,
        generation,
    } = front.about;
    let mut html = format!(
        "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>{app}</title>\n\
         <body style=\"font: 1.1em/1.5 sans-serif; max-width: 40em; margin: 2em auto; background: {paper}; color: {ink}\">\n\
         <h1>{greeting}</h1>\n\
         <p>This is app <b>{app}</b>, a Rust program, in process {pid} (slot {slot}, generation {generation}), mounted at \
         <code>{mount}</code>, up for {uptime} s; request {requests} of this process.</p>\n\
         <form method=\"post\" action=\"{mount}/entries\"><input name=\"entry\" size=\"40\" required> <button>Sign the \
         guest book</button></form>\n<ul>\n",
        app = escaped(app),
        greeting = escaped(front.greeting),
        pid = std::process::id(),
        mount = escaped(front.mount),
        uptime = front.uptime.as_secs(),
        requests = front.requests,
    );
    for entry in front.entries {
        // Writing to a String does not fail.
        let _ = writeln!(html, "<li>{}</li>", escaped(entry));
    }
    html.push_str("</ul>\n");
    html
}

/// The text of a posted form with one field; a body that is no form is taken as it is.
pub(crate) fn form_value(body: &str) -> String {
    let Some(value) = body.strip_prefix("entry=") else {
        return body.to_owned();
    };
    let bytes = value.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let hex = bytes
            .get(at + 1..at + 3)
            .and_then(|digits| str::from_utf8(digits).ok());
        match (
            byte,
            hex.and_then(|digits| u8::from_str_radix(digits, 16).ok()),
        ) {
            (b'%', Some(value)) => {
                decoded.push(value);
                at += 2;
            }
            (b'+', _) => decoded.push(b' '),
            (byte, _) => decoded.push(byte),
        }
        at += 1;
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_decoded_and_other_text_is_kept() {
        assert_eq!(form_value("entry=a+b%26c%C3%A9"), "a b&cé");
        assert_eq!(form_value("entry=100%"), "100%");
        assert_eq!(form_value("100% plain+text"), "100% plain+text");
    }

    #[test]
    fn what_guests_write_is_shown_and_not_obeyed() {
        assert_eq!(
            escaped("<b>\"&\"</b>"),
            "&lt;b&gt;&quot;&amp;&quot;&lt;/b&gt;"
        );
    }
}
