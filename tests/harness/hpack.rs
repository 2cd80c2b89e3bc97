//! Just enough HPACK (RFC 7541) to write requests and to read answers, apart from the library that the server uses.

use std::collections::VecDeque;

/// A name and a value.
pub(crate) type Field = (String, String);

/// Literals that no table learns (section 6.2.2), without Huffman coding: what is wrong in them stays wrong.
pub(crate) fn encode(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            integer(text.len(), 7, &mut block);
            block.extend(text.as_bytes());
        }
    }
    block
}

/// Section 5.1; the bits before the prefix are 0.
fn integer(value: usize, prefix: u32, into: &mut Vec<u8>) {
    let most = (1 << prefix) - 1;
    if value < most {
        into.push(value as u8);
        return;
    }
    into.push(most as u8);
    let mut rest = value - most;
    while rest >= 128 {
        into.push((rest % 128) as u8 | 128);
        rest /= 128;
    }
    into.push(rest as u8);
}

/// What an encoder has told so far.
#[derive(Debug)]
pub(crate) struct Decoder {
    /// The newest first.
    table: VecDeque<Field>,
    most: usize,
}

impl Default for Decoder {
    fn default() -> Self {
        Self {
            table: VecDeque::new(),
            most: 4096,
        }
    }
}

impl Decoder {
    /// The fields of a block; none if it cannot be read.
    pub(crate) fn decode(&mut self, block: &[u8]) -> Option<Vec<Field>> {
        let mut fields = Vec::new();
        let mut rest = block;
        while let Some(&first) = rest.first() {
            if first & 0x80 != 0 {
                let at = read_integer(&mut rest, 7)?;
                fields.push(self.get(at)?);
            } else if first & 0xe0 == 0x20 {
                self.most = read_integer(&mut rest, 5)?;
                self.evict();
            } else {
                let is_kept = first & 0x40 != 0;
                let at = read_integer(&mut rest, if is_kept { 6 } else { 4 })?;
                let name = match at {
                    0 => read_string(&mut rest)?,
                    at => self.get(at)?.0,
                };
                let field = (name, read_string(&mut rest)?);
                if is_kept {
                    self.table.push_front(field.clone());
                    self.evict();
                }
                fields.push(field);
            }
        }
        Some(fields)
    }

    fn get(&self, at: usize) -> Option<Field> {
        match STATIC.get(at.checked_sub(1)?) {
            Some((name, value)) => Some(((*name).to_owned(), (*value).to_owned())),
            None => self.table.get(at - 1 - STATIC.len()).cloned(),
        }
    }

    /// Section 4.
    fn evict(&mut self) {
        let size = |(name, value): &Field| name.len() + value.len() + 32;
        while self.table.iter().map(size).sum::<usize>() > self.most {
            self.table.pop_back();
        }
    }
}

fn read_integer(rest: &mut &[u8], prefix: u32) -> Option<usize> {
    let most = (1 << prefix) - 1;
    let mut value = usize::from(next(rest)?) & most;
    if value < most {
        return Some(value);
    }
    for shift in (0..28).step_by(7) {
        let byte = next(rest)?;
        value += usize::from(byte & 127) << shift;
        if byte & 128 == 0 {
            return Some(value);
        }
    }
    None
}

fn next(rest: &mut &[u8]) -> Option<u8> {
    let (first, others) = rest.split_first()?;
    *rest = others;
    Some(*first)
}

fn read_string(rest: &mut &[u8]) -> Option<String> {
    let is_huffman = rest.first()? & 0x80 != 0;
    let length = read_integer(rest, 7)?;
    let (text, others) = rest.split_at_checked(length)?;
    *rest = others;
    let text = match is_huffman {
        true => unpack(text)?,
        false => text.to_vec(),
    };
    Some(String::from_utf8_lossy(&text).into_owned())
}

/// Appendix B for visible ASCII: the code is canonical, so the symbols of each length are enough.
const CODES: &[(u32, &[u8])] = &[
    (5, b"012aceiost"),
    (6, b" %-./3456789=A_bdfghlmnpru"),
    (7, b":BCDEFGHIJKLMNOPQRSTUVWYjkqvwxyz"),
    (8, b"&*,;XZ"),
    (10, b"!\"()?"),
    (11, b"'+|"),
    (12, b"#>"),
    (13, b"\0$@[]~"),
    (14, b"^}"),
    (15, b"<`{"),
];

fn unpack(packed: &[u8]) -> Option<Vec<u8>> {
    let mut text = Vec::new();
    let (mut code, mut length) = (0_u32, 0);
    for bit in packed
        .iter()
        .flat_map(|byte| (0..8).rev().map(move |at| u32::from(byte >> at & 1)))
    {
        code = code << 1 | bit;
        length += 1;
        if let Some(symbol) = symbol(code, length) {
            text.push(symbol);
            (code, length) = (0, 0);
        } else if length > 15 {
            return None;
        }
    }
    // What is left is the beginning of the longest code: ones.
    (length < 8 && code + 1 == 1 << length).then_some(text)
}

fn symbol(code: u32, length: u32) -> Option<u8> {
    let (mut first, mut before) = (0, 0);
    for (bits, symbols) in CODES {
        first <<= bits - before;
        before = *bits;
        if *bits == length {
            return symbols.get(code.checked_sub(first)? as usize).copied();
        }
        first += symbols.len() as u32;
    }
    None
}

/// Appendix A.
const STATIC: [(&str, &str); 61] = [
    (":authority", ""),
    (":method", "GET"),
    (":method", "POST"),
    (":path", "/"),
    (":path", "/index.html"),
    (":scheme", "http"),
    (":scheme", "https"),
    (":status", "200"),
    (":status", "204"),
    (":status", "206"),
    (":status", "304"),
    (":status", "400"),
    (":status", "404"),
    (":status", "500"),
    ("accept-charset", ""),
    ("accept-encoding", "gzip, deflate"),
    ("accept-language", ""),
    ("accept-ranges", ""),
    ("accept", ""),
    ("access-control-allow-origin", ""),
    ("age", ""),
    ("allow", ""),
    ("authorization", ""),
    ("cache-control", ""),
    ("content-disposition", ""),
    ("content-encoding", ""),
    ("content-language", ""),
    ("content-length", ""),
    ("content-location", ""),
    ("content-range", ""),
    ("content-type", ""),
    ("cookie", ""),
    ("date", ""),
    ("etag", ""),
    ("expect", ""),
    ("expires", ""),
    ("from", ""),
    ("host", ""),
    ("if-match", ""),
    ("if-modified-since", ""),
    ("if-none-match", ""),
    ("if-range", ""),
    ("if-unmodified-since", ""),
    ("last-modified", ""),
    ("link", ""),
    ("location", ""),
    ("max-forwards", ""),
    ("proxy-authenticate", ""),
    ("proxy-authorization", ""),
    ("range", ""),
    ("referer", ""),
    ("refresh", ""),
    ("retry-after", ""),
    ("server", ""),
    ("set-cookie", ""),
    ("strict-transport-security", ""),
    ("transfer-encoding", ""),
    ("user-agent", ""),
    ("vary", ""),
    ("via", ""),
    ("www-authenticate", ""),
];
