//! Workers and clients that do as badly as they can, at random and at the same time: whoever gets a whole answer gets his own, an
//! honest answer arrives, and nothing is left of any of it.

use crate::backend::{Backend, Peer, field};
use crate::front::{Front, app, eventually, site, worker};
use paster::router::message::FromProxy;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};

/// Connections of each client.
const ROUNDS: usize = 25;
const SIZES: &[usize] = &[0, 1, 5, 100, 10_000, 100_000, 1_000_000];
const UPLOADS: &[usize] = &[0, 0, 0, 1, 100, 10_000, 100_000, 1_000_000, LARGE];
/// More than the sockets between a client and a worker hold.
const LARGE: usize = 3_000_000;

/// What a worker does about a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Deed {
    Length,
    Chunks,
    UntilTheEnd,
    ByteByByte,
    Hints,
    /// What follows the answer is nobody's.
    Twice,
    EndsItsHalf,
    EarlyAndReads,
    EarlyAndLeaves,
    EarlyAndStays,
    Deaf,
    Closes,
    HalfAHead,
    Cut,
    CutChunks,
    Garbage,
    Hangs,
}

const DEEDS: &[Deed] = &[
    Deed::Length,
    Deed::Chunks,
    Deed::UntilTheEnd,
    Deed::ByteByByte,
    Deed::Hints,
    Deed::Twice,
    Deed::EndsItsHalf,
    Deed::EarlyAndReads,
    Deed::EarlyAndLeaves,
    Deed::EarlyAndStays,
    Deed::Deaf,
    Deed::Closes,
    Deed::HalfAHead,
    Deed::Cut,
    Deed::CutChunks,
    Deed::Garbage,
    Deed::Hangs,
];

impl Deed {
    /// The request is read, and the answer is whole.
    fn is_honest(self) -> bool {
        (self as usize) < Deed::EarlyAndReads as usize
    }

    fn is_whole(self) -> bool {
        (self as usize) < Deed::Closes as usize
    }
}

/// Answers `/LETTER/DEED/SIZE`: the letter, so many times. None: the connection is over.
fn serve(peer: &mut Peer) -> Option<()> {
    let asked = peer.head()?;
    let mut words = asked.split(['/', ' ']).skip(2);
    let letter = words.next()?.as_bytes()[0];
    let mut deed = DEEDS[words.next()?.parse::<usize>().ok()?];
    let size: usize = words.next()?.parse().ok()?;
    if deed == Deed::EarlyAndStays && field(&asked, "content-length") != Some(&LARGE.to_string()) {
        // It would be the next request that nobody reads.
        deed = Deed::Length;
    }
    if deed.is_honest() || !deed.is_whole() {
        read_body(peer, &asked)?;
    }
    let body = vec![letter; size];
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n");
    let whole = [head.as_bytes(), &body].concat();
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let mut say = |bytes: &[u8]| peer.write(bytes).ok();
    match deed {
        Deed::Length => say(&whole),
        Deed::Chunks => {
            say(chunked.as_bytes())?;
            for piece in body.chunks(1 + size / 7) {
                say(format!("{:x};a=b\r\n", piece.len()).as_bytes())?;
                say(&[piece, b"\r\n"].concat())?;
            }
            say(b"0\r\nX-Sum: 1\r\n\r\n")
        }
        Deed::UntilTheEnd => {
            say(b"HTTP/1.1 200 OK\r\n\r\n")?;
            say(&body)?;
            None
        }
        Deed::ByteByByte => {
            let (first, rest) = whole.split_at(whole.len().min(200));
            for byte in first {
                say(&[*byte])?;
            }
            say(rest)
        }
        Deed::Hints => {
            say(&b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n".repeat(20))?;
            say(&whole)
        }
        // More would come in pieces, of which the last might come too late to be noticed.
        Deed::Twice if size > 10_000 => say(&whole),
        Deed::Twice => {
            let evil = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil";
            say(&[&whole[..], evil].concat())
        }
        Deed::EarlyAndReads => {
            say(&whole)?;
            read_body(peer, &asked)
        }
        Deed::EarlyAndLeaves => {
            let fields = head.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n");
            say(&[fields.as_bytes(), &body].concat())?;
            None
        }
        Deed::EarlyAndStays => {
            say(&whole)?;
            peer.wait_closed_unread();
            None
        }
        Deed::EndsItsHalf => {
            say(&whole)?;
            peer.reader.get_ref().shutdown(Shutdown::Write).ok()?;
            peer.wait_closed();
            None
        }
        Deed::Deaf => {
            peer.reader.get_ref().shutdown(Shutdown::Read).ok()?;
            peer.write(&whole).ok()?;
            None
        }
        Deed::Closes => None,
        Deed::HalfAHead => {
            say(b"HTTP/1.1 200 OK\r\nContent-")?;
            None
        }
        Deed::Cut => {
            say(&whole[..whole.len() - 1])?;
            None
        }
        Deed::CutChunks => {
            say(chunked.as_bytes())?;
            say(format!("{:x}\r\n", size + 1).as_bytes())?;
            say(&[&body[..], b"x\r\n0\r\n"].concat())?;
            None
        }
        Deed::Garbage => say(b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n"),
        Deed::Hangs => {
            peer.wait_closed();
            None
        }
    }
}

/// None: it did not come as a whole.
fn read_body(peer: &mut Peer, head: &str) -> Option<()> {
    if let Some(length) = field(head, "content-length") {
        let length = length.parse().ok()?;
        let read = std::io::copy(&mut (&mut peer.reader).take(length), &mut std::io::sink());
        (read.ok()? == length).then_some(())
    } else if field(head, "transfer-encoding").is_some() {
        read_chunks(&mut peer.reader, |_| true)
    } else {
        Some(())
    }
}

/// To the last chunk, or for as long as `take` wants more.
fn read_chunks(reader: &mut impl BufRead, mut take: impl FnMut(&[u8]) -> bool) -> Option<()> {
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let length = usize::from_str_radix(line.trim(), 16).ok()?;
        let mut chunk = vec![0; length + 2];
        reader.read_exact(&mut chunk).ok()?;
        if length == 0 || !take(&chunk[..length]) {
            return Some(());
        }
    }
}

/// Where a client leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Leaves {
    Never,
    InTheHead,
    BehindTheHead,
    InTheBody,
    BehindTheBody,
    BehindTheAnswersHead,
    InTheAnswer,
}

const LEAVES: &[Leaves] = &[
    Leaves::Never,
    Leaves::Never,
    Leaves::Never,
    Leaves::Never,
    Leaves::Never,
    Leaves::Never,
    Leaves::InTheHead,
    Leaves::BehindTheHead,
    Leaves::InTheBody,
    Leaves::BehindTheBody,
    Leaves::BehindTheAnswersHead,
    Leaves::InTheAnswer,
];

struct Hostile {
    reader: BufReader<TcpStream>,
    random: fastrand::Rng,
    /// What this connection has been for, to be shown.
    asked: Vec<String>,
}

impl Hostile {
    fn to(address: SocketAddr, random: fastrand::Rng) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream
            .set_read_timeout(Some(crate::front::PATIENCE))
            .unwrap();
        stream.set_nodelay(true).unwrap();
        Self {
            reader: BufReader::new(stream),
            random,
            asked: Vec::new(),
        }
    }

    fn any<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.random.usize(..of.len())]
    }

    fn say(&mut self, bytes: &[u8]) -> Option<()> {
        self.reader.get_mut().write_all(bytes).ok()
    }

    /// None: the connection is over.
    fn ask(&mut self) -> Option<()> {
        let letter = self.random.lowercase();
        let which = self.random.usize(..DEEDS.len());
        let (deed, size) = (DEEDS[which], self.any(SIZES));
        let (leaves, upload) = (self.any(LEAVES), self.any(UPLOADS));
        let method = self.any(&["GET", "POST", "PUT"]);
        let is_chunked = upload > 0 && self.random.bool();
        let framing = match is_chunked {
            true => "Transfer-Encoding: chunked".to_owned(),
            false => format!("Content-Length: {upload}"),
        };
        let expects = match upload > 0 && self.random.bool() {
            true => "Expect: 100-continue\r\n",
            false => "",
        };
        let head = format!(
            "{method} /{letter}/{which}/{size} HTTP/1.1\r\nHost: a\r\n{framing}\r\n{expects}\r\n"
        );
        self.asked.push(format!("{deed:?} {leaves:?} {head}"));
        if leaves == Leaves::InTheHead {
            self.say(&head.as_bytes()[..head.len() / 2]);
            return None;
        }
        self.say(head.as_bytes())?;
        if leaves == Leaves::BehindTheHead {
            return None;
        }
        let sent = match leaves {
            Leaves::InTheBody => upload / 2,
            _ => upload,
        };
        // Who is refused need not listen to the rest.
        let _ = self.send_body(sent, is_chunked, leaves != Leaves::InTheBody);
        if matches!(leaves, Leaves::InTheBody | Leaves::BehindTheBody) {
            return None;
        }
        let Some((status, head)) = self.head() else {
            assert!(!deed.is_honest(), "no answer: {:#?}", self.asked);
            return None;
        };
        let most = match leaves {
            Leaves::BehindTheAnswersHead => return None,
            Leaves::InTheAnswer => size / 2,
            _ => usize::MAX,
        };
        let body = self.body(&head, most);
        if leaves == Leaves::InTheAnswer {
            return None;
        }
        let Some(body) = body else {
            assert!(!deed.is_honest(), "cut: {:#?}", self.asked);
            return None;
        };
        match status {
            200 => {
                assert!(deed.is_whole(), "it looks whole: {:#?}", self.asked);
                let is_his = body.len() == size && body.iter().all(|byte| *byte == letter as u8);
                assert!(is_his, "{} bytes: {:#?}", body.len(), self.asked);
            }
            // Its connection was closed as it was taken, and it could not be repeated.
            502 if upload > 0 || method == "POST" => {}
            502 | 504 => assert!(!deed.is_honest(), "{status}: {:#?}", self.asked),
            _ => panic!("{status}: {:#?}", self.asked),
        }
        field(&head, "connection").is_none().then_some(())
    }

    fn send_body(&mut self, length: usize, is_chunked: bool, to_its_end: bool) -> Option<()> {
        let piece = self.random.usize(1..100_000);
        let mut left = length;
        while left > 0 {
            let data = vec![b'u'; left.min(piece)];
            left -= data.len();
            if is_chunked {
                self.say(format!("{:x}\r\n", data.len()).as_bytes())?;
            }
            self.say(&data)?;
            if is_chunked {
                self.say(b"\r\n")?;
            }
        }
        match is_chunked && to_its_end {
            true => self.say(b"0\r\n\r\n"),
            false => Some(()),
        }
    }

    /// Of the final answer.
    fn head(&mut self) -> Option<(u16, String)> {
        loop {
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") {
                match self.reader.read_line(&mut head) {
                    Ok(0) => return None,
                    Ok(_) => {}
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {
                        panic!("nothing comes: {:#?}", self.asked)
                    }
                    Err(_) => return None,
                }
            }
            let status = head.split(' ').nth(1).unwrap().parse().unwrap();
            if status >= 200 {
                return Some((status, head));
            }
        }
    }

    /// No more than `most` bytes of it.
    fn body(&mut self, head: &str, most: usize) -> Option<Vec<u8>> {
        let mut body = Vec::new();
        if let Some(length) = field(head, "content-length") {
            body.resize(most.min(length.parse().unwrap()), 0);
            self.reader.read_exact(&mut body).ok()?;
        } else {
            read_chunks(&mut self.reader, |chunk| {
                body.extend_from_slice(chunk);
                body.len() < most
            })?;
        }
        Some(body)
    }
}

#[test]
fn whoever_gets_a_whole_answer_gets_his_own_and_nothing_is_left() {
    let backends = [(); 2].map(|()| Backend::new(|mut peer| while serve(&mut peer).is_some() {}));
    let workers = [1, 2].map(|id| worker(id, backends[id as usize - 1].path()));
    let mut app_of_two = app(workers.to_vec());
    app_of_two.request_timeout_ms = Some(3000);
    let nobody = site(app(vec![]));
    let mut front = Front::start(nobody.clone());
    let before = front.descriptors();
    front.apply(site(app_of_two));
    let address = front.address;
    let clients = [1, 2, 3, 4, 5, 6, 7, 8].map(|seed| {
        std::thread::spawn(move || {
            let mut random = fastrand::Rng::with_seed(seed);
            for _ in 0..ROUNDS {
                let mut client = Hostile::to(address, random.fork());
                while client.ask().is_some() {}
            }
        })
    });
    let ends = clients.map(std::thread::JoinHandle::join);
    assert!(ends.iter().all(Result::is_ok));
    front.forget();
    front.wait_for("all is over", |said| {
        matches!(said, FromProxy::Stats(stats)
            if stats.connections == 0 && stats.workers.iter().all(|worker| worker.in_flight == 0))
    });
    front.apply(nobody);
    let mut now = 0;
    eventually("nothing is left", || {
        now = front.descriptors();
        now <= before
    });
}
