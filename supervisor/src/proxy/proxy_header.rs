//! The header of the PROXY protocol, versions 1 and 2: a load balancer says whom it speaks for, before anything else.
//!
//! Source: "The PROXY protocol, Versions 1 & 2" (HAProxy, revision 2020/03/05). The header is read to its last byte and not
//! further, so what follows (a TLS handshake, a request) finds the socket as if nothing had been there.

use super::socket::Socket;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use tokio::io::AsyncReadExt;

/// Both versions can be told apart by so many bytes, and no header is shorter.
const START: usize = 12;
const SIGNATURE: [u8; START] = *b"\r\n\r\n\0\r\nQUIT\n";
/// The longest line of version 1, its end included (section 2.1).
const LONGEST_LINE: usize = 107;
/// Addresses and what may be added to them in version 2. The protocol has room for 65535; nobody needs more than a few hundred.
const LONGEST_BLOCK: usize = 4096;

/// For whom a connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    Client(SocketAddr),
    /// The load balancer itself (a health check), or somebody whose address it does not know.
    Peer,
}

/// Reads the header from `socket`, and nothing behind it.
///
/// # Errors
/// The client has gone, or what it said is no header.
pub(super) async fn receive(socket: &mut Socket) -> io::Result<Source> {
    let mut start = [0; START];
    socket.read_exact(&mut start).await?;
    if start == SIGNATURE {
        let mut head = [0; 4];
        socket.read_exact(&mut head).await?;
        let head = Head::parse(head).ok_or_else(strange)?;
        let mut block = vec![0; head.length];
        socket.read_exact(&mut block).await?;
        return head.source(&block).ok_or_else(strange);
    }
    let mut line = start.to_vec();
    while !line.ends_with(b"\n") {
        let room = LONGEST_LINE - line.len();
        if room == 0 || !is_line(&line) {
            return Err(strange());
        }
        let mut next = [0; LONGEST_LINE];
        let there = socket.peek(&mut next[..room]).await?;
        // To the end of the line, which may be followed by more.
        let end = next[..there].iter().position(|&byte| byte == b'\n');
        let taken = end.map_or(there, |at| at + 1);
        if taken == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        socket.read_exact(&mut next[..taken]).await?;
        line.extend_from_slice(&next[..taken]);
    }
    parse_line(&line).ok_or_else(strange)
}

fn strange() -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        "it does not begin with a header of the PROXY protocol",
    )
}

fn is_line(bytes: &[u8]) -> bool {
    bytes.starts_with(b"PROXY ")
}

/// A line of version 1, with its end: `PROXY TCP4 192.0.2.1 192.0.2.2 4711 443`.
fn parse_line(line: &[u8]) -> Option<Source> {
    let text = std::str::from_utf8(line).ok()?.strip_suffix("\r\n")?;
    let rest = text.strip_prefix("PROXY ")?;
    // Whatever else such a line says is to be ignored.
    if rest == "UNKNOWN" || rest.starts_with("UNKNOWN ") {
        return Some(Source::Peer);
    }
    let words: Vec<&str> = rest.split(' ').collect();
    let [family, source, destination, source_port, destination_port] = *words.as_slice() else {
        return None;
    };
    let address = |text: &str| -> Option<IpAddr> {
        match family {
            "TCP4" => Some(IpAddr::V4(text.parse().ok()?)),
            "TCP6" => Some(IpAddr::V6(text.parse().ok()?)),
            _ => None,
        }
    };
    let port = |text: &str| -> Option<u16> {
        let plain = text.bytes().all(|byte| byte.is_ascii_digit());
        let plain = plain && (text == "0" || !text.starts_with('0'));
        if plain { text.parse().ok() } else { None }
    };
    address(destination)?;
    port(destination_port)?;
    Some(Source::Client(SocketAddr::new(
        address(source)?,
        port(source_port)?,
    )))
}

/// What follows the signature of version 2.
#[derive(Debug)]
struct Head {
    local: bool,
    family: u8,
    length: usize,
}

impl Head {
    fn parse([command, family, high, low]: [u8; 4]) -> Option<Self> {
        let local = match command {
            0x20 => true,
            0x21 => false,
            _ => return None,
        };
        let length = usize::from(u16::from_be_bytes([high, low]));
        (length <= LONGEST_BLOCK).then_some(Self {
            local,
            family,
            length,
        })
    }

    /// `block` has the announced length; what follows the addresses in it is for others.
    fn source(&self, block: &[u8]) -> Option<Source> {
        if self.local {
            return Some(Source::Peer);
        }
        let port = |at: usize| -> Option<u16> {
            let bytes = block.get(at..at + 2)?;
            Some(u16::from_be_bytes(bytes.try_into().ok()?))
        };
        match self.family {
            // TCP over IPv4: two addresses, two ports.
            0x11 => {
                let address: [u8; 4] = block.get(..4)?.try_into().ok()?;
                port(10)?;
                let address = IpAddr::V4(Ipv4Addr::from(address));
                Some(Source::Client(SocketAddr::new(address, port(8)?)))
            }
            // TCP over IPv6.
            0x21 => {
                let address: [u8; 16] = block.get(..16)?.try_into().ok()?;
                port(34)?;
                let address = IpAddr::V6(Ipv6Addr::from(address));
                Some(Source::Client(SocketAddr::new(address, port(32)?)))
            }
            // Unspecified, or unix: nobody whom an app could be told of.
            0x00 | 0x31 => Some(Source::Peer),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use tokio::io::AsyncWriteExt;
    use tokio::net::UnixStream;

    /// What is read of `bytes`, and what is left.
    fn received(bytes: &[u8], cut: usize) -> (io::Result<Source>, Vec<u8>) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let (mut client, server) = UnixStream::pair().unwrap();
            let server = super::super::unix_stream::UnixStream::from_tokio(server);
            let mut server = Socket::Unix(server.unwrap());
            let cut = cut.min(bytes.len());
            let send = async {
                client.write_all(&bytes[..cut]).await.unwrap();
                tokio::task::yield_now().await;
                // Refused headers are not read to their end.
                let _ = client.write_all(&bytes[cut..]).await;
                drop(client);
            };
            let (result, ()) = tokio::join!(receive(&mut server), send);
            let mut rest = Vec::new();
            let _ = server.read_to_end(&mut rest).await;
            (result, rest)
        })
    }

    fn version_2(command: u8, family: u8, block: &[u8]) -> Vec<u8> {
        let mut bytes = SIGNATURE.to_vec();
        bytes.extend([command, family]);
        bytes.extend(u16::try_from(block.len()).unwrap().to_be_bytes());
        bytes.extend(block);
        bytes
    }

    fn block(source: SocketAddr) -> (u8, Vec<u8>) {
        let (family, mut block) = match source.ip() {
            IpAddr::V4(ip) => (0x11, [ip.octets(), [192, 0, 2, 9]].concat()),
            IpAddr::V6(ip) => (0x21, [ip.octets(), [7; 16]].concat()),
        };
        block.extend(source.port().to_be_bytes());
        block.extend(443_u16.to_be_bytes());
        (family, block)
    }

    #[test]
    fn lines_that_are_no_header_are_refused() {
        for line in [
            "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
            "PROXY TCP4 1.2.3.4 1.2.3.4 1 2\n",
            "PROXY TCP4 ::1 ::1 1 2\r\n",
            "PROXY TCP6 1.2.3.4 1.2.3.4 1 2\r\n",
            "PROXY TCP4 1.2.3.4 1.2.3.4 1 65536\r\n",
            "PROXY TCP4 1.2.3.4 1.2.3.4 01 2\r\n",
            "PROXY TCP4 1.2.3.4 1.2.3.4 +1 2\r\n",
            "PROXY TCP4 1.2.3.4  1.2.3.4 1 2\r\n",
            "PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n",
            "PROXY UDP4 1.2.3.4 1.2.3.4 1 2\r\n",
            "proxy TCP4 1.2.3.4 1.2.3.4 1 2\r\n",
        ] {
            assert!(received(line.as_bytes(), 99).0.is_err(), "{line}");
        }
        let endless = [b"PROXY UNKNOWN ".to_vec(), vec![b'x'; 200]].concat();
        assert!(received(&endless, 99).0.is_err());
    }

    #[test]
    fn a_load_balancer_may_speak_for_itself() {
        for bytes in [
            b"PROXY UNKNOWN\r\n".to_vec(),
            b"PROXY UNKNOWN ffff:f...f ffff:f...f 65535 65535\r\n".to_vec(),
            version_2(0x20, 0x11, &[0; 12]),
            version_2(0x20, 0x00, &[]),
            version_2(0x21, 0x00, b"whatever"),
            version_2(0x21, 0x31, &[0; 216]),
        ] {
            assert_eq!(received(&bytes, 99).0.unwrap(), Source::Peer, "{bytes:?}");
        }
    }

    #[test]
    fn blocks_that_are_none_are_refused() {
        for bytes in [
            version_2(0x11, 0x11, &[0; 12]),
            version_2(0x22, 0x11, &[0; 12]),
            version_2(0x21, 0x12, &[0; 12]),
            version_2(0x21, 0x11, &[0; 11]),
            version_2(0x21, 0x21, &[0; 12]),
            version_2(0x21, 0x00, &[0; LONGEST_BLOCK + 1]),
        ] {
            assert!(received(&bytes, 99).0.is_err(), "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn the_source_is_found_and_nothing_behind_the_header_is_read(
            ip in any::<IpAddr>(),
            port in any::<u16>(),
            two in any::<bool>(),
            cut in 0_usize..140,
            rest in proptest::collection::vec(any::<u8>(), 0..40),
        ) {
            let source = SocketAddr::new(ip, port);
            let mut bytes = if two {
                let (family, mut block) = block(source);
                block.extend(b"\x20\x00\x02hi");
                version_2(0x21, family, &block)
            } else {
                let family = if ip.is_ipv4() { "TCP4" } else { "TCP6" };
                format!("PROXY {family} {ip} {ip} {port} 443\r\n").into_bytes()
            };
            bytes.extend(&rest);
            let (found, left) = received(&bytes, cut);
            prop_assert_eq!(found.unwrap(), Source::Client(source));
            prop_assert_eq!(left, rest);
        }

        #[test]
        fn nothing_that_is_sent_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300), like in 0_usize..3) {
            let start: &[u8] = [&b""[..], b"PROXY TCP4 ", &SIGNATURE][like];
            let _ = received(&[start, &bytes].concat(), 5);
        }
    }
}
