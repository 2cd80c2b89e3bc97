//! What is kept of apps' output on its way to the program that takes the place of this one: in an anonymous file, app by
//! app, so that it is in memory twice for one app at a time only.
//!
//! Each app is a line of JSON, followed by the text of its rings.

use super::frozen::FrozenApp;
use nix::sys::memfd::{MFdFlags, memfd_create};
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Seek, Write};

/// Writes `apps` into a file, positioned at its start.
///
/// # Errors
/// No memory or no free descriptor.
pub(super) fn write(apps: impl Iterator<Item = FrozenApp>) -> io::Result<File> {
    let file = File::from(memfd_create("paster-logs", MFdFlags::MFD_CLOEXEC)?);
    let mut writer = BufWriter::new(file);
    for app in apps {
        serde_json::to_writer(&mut writer, &app)?;
        writer.write_all(b"\n")?;
        for ring in &app.rings {
            writer.write_all(&ring.text)?;
        }
    }
    let mut file = writer
        .into_inner()
        .map_err(io::IntoInnerError::into_error)?;
    file.rewind()?;
    Ok(file)
}

/// Reads them one by one, up to the first that cannot be understood.
pub(super) fn read(file: File) -> impl Iterator<Item = FrozenApp> {
    let mut reader = BufReader::new(file);
    std::iter::from_fn(move || next(&mut reader).ok())
}

fn next(reader: &mut BufReader<File>) -> io::Result<FrozenApp> {
    let mut line = Vec::new();
    reader.read_until(b'\n', &mut line)?;
    let mut app: FrozenApp = serde_json::from_slice(&line)?;
    for ring in &mut app.rings {
        reader.take(ring.length()).read_to_end(&mut ring.text)?;
    }
    Ok(app)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logs::ring::{Ring, Stamp};
    use crate::logs::source::Source;
    use std::sync::Arc;

    fn app(name: &str, texts: [&[u8]; 2]) -> FrozenApp {
        let stamp = Stamp {
            seq: 1,
            time: 2,
            source: Arc::new(Source::new(3, 0, 1, None)),
        };
        let rings = texts.map(|text| {
            let mut ring = Ring::default();
            ring.push(&stamp, &[text]);
            ring.freeze()
        });
        FrozenApp {
            name: name.to_owned(),
            rings,
        }
    }

    #[test]
    fn apps_come_as_they_were_given() {
        let apps = [
            app("one", [b"a\n{\n", b"\xff\0\n"]),
            app("none", [b"", b""]),
            app("two", [b"", b"last\n"]),
        ];
        let file = write(apps.iter().cloned()).expect("there is memory");
        assert_eq!(read(file).collect::<Vec<_>>(), apps);
    }

    #[test]
    fn what_is_cut_short_costs_the_rest_only() {
        let apps = [app("one", [b"a\n", b""]), app("two", [b"b\n", b""])];
        let file = write(apps.iter().cloned()).expect("there is memory");
        let length = file.metadata().expect("open").len();
        file.set_len(length - 20).expect("our own");
        assert_eq!(read(file).collect::<Vec<_>>(), apps[..1]);
    }
}
