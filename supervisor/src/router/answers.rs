//! What the proxy does with the answers of an app.

use serde::{Deserialize, Serialize};

/// All of it is off by default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Answers {
    pub compress: Compress,
    /// In the order in which they are applied.
    pub headers: Vec<HeaderRule>,
    /// For errors that the proxy makes; one for each kind at most.
    pub pages: Vec<ErrorPage>,
}

impl Answers {
    /// Nothing is done with them.
    pub fn is_off(&self) -> bool {
        *self == Answers::default()
    }
}

/// A page for a kind of error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorPage {
    pub when: When,
    /// The absolute path of its file, by which the table has it.
    pub page: String,
}

/// What a page is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum When {
    Status(u16),
    /// The app is in maintenance.
    Maintenance,
}

/// The contents of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page {
    pub content_type: String,
    pub body: String,
}

/// What becomes of a field of an answer: name and value are valid.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HeaderRule {
    /// Instead of all fields of this name.
    Set(String, String),
    /// Beside those that there are.
    Add(String, String),
    /// Where there is none.
    Default(String, String),
    Remove(String),
}

/// Which answers are compressed, and how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Compress {
    /// The first of these that the client likes best; none: nothing is compressed.
    pub codings: Vec<Coding>,
    /// Lower-case media types: `type/subtype`, `type/*`, or `*+suffix`. Empty: [`TYPES`].
    pub types: Vec<String>,
    /// Bytes. A shorter answer passes as it is; one of unknown length counts as long.
    pub min_length: u64,
}

impl Default for Compress {
    fn default() -> Compress {
        Compress {
            codings: Vec::new(),
            types: Vec::new(),
            min_length: 1024,
        }
    }
}

/// What is worth it: text in any form, and the binary formats that are not compressed in themselves.
pub const TYPES: &str = "text/* application/json application/javascript application/xml application/x-ndjson application/wasm \
    application/vnd.ms-fontobject font/otf font/ttf image/bmp *+json *+xml";

/// A content coding (RFC 9110 section 8.4.1) that we can make.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Coding {
    Zstd,
    Gzip,
    Brotli,
}

impl Coding {
    /// All, in the order of `compress = on`: what comes first costs less for about the same size.
    pub const ALL: [Coding; 3] = [Coding::Zstd, Coding::Gzip, Coding::Brotli];

    /// As in `Accept-Encoding` and `Content-Encoding`.
    pub fn token(self) -> &'static str {
        match self {
            Coding::Zstd => "zstd",
            Coding::Brotli => "br",
            Coding::Gzip => "gzip",
        }
    }
}
