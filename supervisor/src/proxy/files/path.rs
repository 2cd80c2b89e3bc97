//! From PATH_INFO to the file that is meant, as `StaticURLParser` reads it. Pure.

/// What a client wants.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// The directory itself, without a slash.
    Redirection,
    Below(Below),
}

/// Something in the directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Below {
    /// Without slashes at either end; empty for the directory itself. It may lead through `..`: whether it leads out is decided
    /// where it is opened.
    path: Vec<u8>,
    end: End,
}

/// How the path ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// A file; a directory is redirected to its slash.
    Bare,
    /// The index of a directory; the original takes it for a file too.
    Slash,
    /// The index of a directory.
    Slashes,
}

/// Reads a path that is decoded and has no NUL.
pub(super) fn wanted(path_info: &[u8]) -> Wanted {
    if path_info.is_empty() {
        return Wanted::Redirection;
    }
    let inner = path_info.trim_start_with(b'/');
    let path = inner.trim_end_with(b'/');
    let end = match inner.len() - path.len() {
        _ if path.is_empty() => End::Slashes,
        0 => End::Bare,
        1 => End::Slash,
        _ => End::Slashes,
    };
    let path = path.to_vec();
    Wanted::Below(Below { path, end })
}

impl Below {
    /// A file that an app names; none for an empty path, and one with a NUL or `..`.
    pub(super) fn file(path: &[u8]) -> Option<Below> {
        let file = Below {
            path: path.trim_start_with(b'/').to_vec(),
            end: End::Bare,
        };
        let is_good = !file.path.is_empty() && !file.path.contains(&0) && !file.climbs();
        is_good.then_some(file)
    }

    /// For messages.
    pub(super) fn path(&self) -> &[u8] {
        &self.path
    }

    pub(super) fn end(&self) -> End {
        self.end
    }

    /// The index of this directory.
    pub(super) fn index(&self) -> Vec<u8> {
        let mut index = self.path.clone();
        if !index.is_empty() {
            index.push(b'/');
        }
        index.extend_from_slice(b"index.html");
        index
    }

    /// Whether it leads upwards somewhere.
    pub(super) fn climbs(&self) -> bool {
        self.path
            .split(|&byte| byte == b'/')
            .any(|part| part == b"..")
    }
}

trait TrimBytes {
    fn trim_start_with(&self, byte: u8) -> &[u8];
    fn trim_end_with(&self, byte: u8) -> &[u8];
}

impl TrimBytes for [u8] {
    fn trim_start_with(&self, byte: u8) -> &[u8] {
        let start = self.iter().position(|&found| found != byte);
        &self[start.unwrap_or(self.len())..]
    }

    fn trim_end_with(&self, byte: u8) -> &[u8] {
        let end = self.iter().rposition(|&found| found != byte);
        &self[..end.map_or(0, |last| last + 1)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_read_as_the_original_reads_them() {
        let read = |path: &str| match wanted(path.as_bytes()) {
            Wanted::Redirection => ("redirection".to_owned(), None),
            Wanted::Below(Below { path, end }) => {
                (String::from_utf8_lossy(&path).into_owned(), Some(end))
            }
        };
        let below = |path: &str, end| (path.to_owned(), Some(end));
        assert_eq!(read("").0, "redirection");
        assert_eq!(read("/"), below("", End::Slashes));
        assert_eq!(read("/a.txt"), below("a.txt", End::Bare));
        assert_eq!(read("//a//b"), below("a//b", End::Bare));
        assert_eq!(read("/a/"), below("a", End::Slash));
        assert_eq!(read("/a//"), below("a", End::Slashes));
        assert_eq!(read("/.."), below("..", End::Bare));
    }

    #[test]
    fn only_a_whole_component_climbs() {
        let climbs = |path: &str| match wanted(path.as_bytes()) {
            Wanted::Below(below) => below.climbs(),
            Wanted::Redirection => false,
        };
        assert!(climbs("/a/../b") && climbs("/.."));
        assert!(!climbs("/a..b/...") && !climbs("/./a"));
    }
}
