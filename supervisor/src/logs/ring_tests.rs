use super::*;
use proptest::prelude::*;

fn source(worker: u64) -> Arc<Source> {
    Arc::new(Source::new(worker, 0, 1, None))
}

fn stamp(seq: u64) -> Stamp {
    Stamp {
        seq,
        time: seq,
        source: source(seq % 3),
    }
}

#[derive(Default)]
struct Received(Vec<(u64, Vec<u8>)>);

impl Receive for Received {
    fn receive(&mut self, stamp: &Stamp, text: [&[u8]; 2]) {
        let text = text.concat();
        assert_eq!(text.last(), Some(&b'\n'), "whole lines only");
        for line in text[..text.len() - 1].split(|byte| *byte == b'\n') {
            self.0.push((stamp.seq, line.to_vec()));
        }
    }
}

/// Everything behind a position.
fn read_all(ring: &Ring, mut position: Position) -> Vec<(u64, Vec<u8>)> {
    let mut received = Received::default();
    ring.catch_up(&mut position);
    while ring.read(&mut position, 10_000, &mut received) > 0 {}
    assert_eq!(position, ring.end());
    received.0
}

fn texts(ring: &Ring, most: usize) -> Vec<String> {
    let lines = ring.last(most, |_| true).into_iter().rev();
    lines
        .map(|(_, text)| String::from_utf8(text).expect("text"))
        .collect()
}

#[test]
fn the_last_lines_come_from_several_reads() {
    let mut ring = Ring::default();
    ring.push(&stamp(1), &[b"one\ntw", b"o\n"]);
    ring.push(&stamp(2), &[b"\n"]);
    ring.push(&stamp(3), &[b"three\n"]);
    assert_eq!(texts(&ring, 10), ["one", "two", "", "three"]);
    assert_eq!(texts(&ring, 3), ["two", "", "three"]);
    let of_one = ring.last(10, |source| source.worker == 1);
    assert_eq!(
        of_one.into_iter().map(|(_, text)| text).collect::<Vec<_>>(),
        [b"two", b"one"]
    );
}

#[test]
fn what_was_taken_stays_as_history_and_no_more() {
    let mut ring = Ring::default();
    ring.set_sink(true);
    for seq in 0..10_000 {
        ring.push(&stamp(seq), &[&[b'x'; 99], b"\n"]);
        ring.take(ring.end(), 0);
    }
    assert_eq!(ring.missed(), 0);
    assert_eq!(ring.untaken(), 0);
    assert!(ring.text.len() + ring.runs.len() * RUN <= HISTORY + 100 + RUN);
    assert!(ring.text.len() > HISTORY / 2);
}

#[test]
fn what_waits_may_grow_and_is_given_back() {
    let mut ring = Ring::default();
    ring.set_sink(true);
    let line = [&[b'x'; 1023][..], b"\n"].concat();
    let lines = 2 * 1024;
    for seq in 0..lines {
        ring.push(&stamp(seq), &[&line]);
    }
    assert_eq!((ring.missed(), ring.untaken()), (0, lines * 1024));
    assert!(ring.is_large());
    ring.tidy();
    assert_eq!((ring.missed(), ring.untaken()), (0, lines * 1024));
    ring.take(ring.end(), 0);
    // No further line is needed for it.
    ring.tidy();
    assert!(!ring.is_large());
    assert!(ring.text.len() > HISTORY / 2);
    ring.push(&stamp(lines), &[b"more\n"]);
    assert_eq!(texts(&ring, 1), ["more"]);
}

#[test]
fn who_does_not_take_misses_the_oldest_lines() {
    let mut ring = Ring::default();
    ring.set_sink(true);
    let chunk: Vec<u8> = b"123456789\n".repeat(10_000);
    for seq in 0..100 {
        ring.push(&stamp(seq), &[&chunk]);
        assert!(ring.text.len() <= MOST);
    }
    let kept = ring.untaken() / 10;
    assert_eq!(ring.missed(), 1_000_000 - kept);
    let mut position = ring.taken().expect("there is a sink");
    let missed = ring.catch_up(&mut position);
    ring.take(position, missed);
    assert_eq!((missed, ring.missed()), (1_000_000 - kept, missed));
    assert_eq!(read_all(&ring, position).len() as u64, kept);
    // It may be turned off, and on again: what came meanwhile is history.
    ring.set_sink(false);
    ring.push(&stamp(200), &[b"unseen\n"]);
    ring.set_sink(true);
    assert_eq!((ring.untaken(), ring.missed()), (0, 1_000_000 - kept));
}

#[test]
fn without_a_sink_the_end_of_a_flood_stays() {
    let mut ring = Ring::default();
    let mut chunk = b"123456789\n".repeat(50_000);
    chunk.extend_from_slice(b"the last one\n");
    ring.push(&stamp(1), &[b"first\n"]);
    ring.push(&stamp(2), &[b"begin", &chunk, b"behind it\n"]);
    assert_eq!(texts(&ring, 2), ["the last one", "behind it"]);
    assert!(ring.text.len() <= HISTORY);
    assert_eq!(ring.end().line, 50_003);
    let kept = texts(&ring, usize::MAX).len() as u64;
    assert_eq!(ring.start().line, 50_003 - kept);
    assert_eq!(read_all(&ring, Position::default()).len() as u64, kept);
}

#[test]
fn a_ring_survives_as_data() {
    let mut ring = Ring::default();
    ring.set_sink(true);
    ring.push(&stamp(1), &[b"one\n\xff\x00\n"]);
    ring.take(ring.end(), 0);
    ring.push(&stamp(2), &[b"two\n"]);
    let json = serde_json::to_string(&ring.freeze()).expect("plain data");
    let mut frozen: FrozenRing = serde_json::from_str(&json).expect("readable");
    // The text goes another way.
    assert_eq!(frozen.length(), 11);
    frozen.text = ring.freeze().text;
    let mut thawed = Ring::thaw(frozen.clone(), &mut Thaw::default());
    assert_eq!(thawed.freeze(), frozen);
    assert_eq!((thawed.untaken(), thawed.end()), (4, ring.end()));
    thawed.push(&stamp(3), &[b"three\n"]);
    let lines = read_all(&thawed, Position::default());
    assert_eq!(
        lines.into_iter().map(|(_, text)| text).collect::<Vec<_>>(),
        [&b"one"[..], b"\xff\0", b"two", b"three"]
    );
    let strange = FrozenRing {
        end: Position { at: 3, line: 9 },
        ..frozen
    };
    let empty = Ring::thaw(strange, &mut Thaw::default());
    assert_eq!(empty.end(), Position::default());
}

#[derive(Debug, Clone)]
enum Step {
    /// Lines of these lengths.
    Push(Vec<usize>),
    /// The sink takes about so much.
    Take(usize),
    /// A reader with its own position reads about so much.
    Read(usize),
    Sink(bool),
    Tidy,
}

fn step() -> impl Strategy<Value = Step> {
    let lines = prop_oneof![
        8 => prop::collection::vec(0..300usize, 1..20),
        2 => prop::collection::vec(30_000..66_000usize, 1..5),
        1 => prop::collection::vec(0..3usize, 1000..3000),
    ];
    prop_oneof![
        8 => lines.prop_map(Step::Push),
        4 => (1..300_000usize).prop_map(Step::Take),
        3 => (1..100_000usize).prop_map(Step::Read),
        1 => prop::bool::weighted(0.8).prop_map(Step::Sink),
        1 => Just(Step::Tidy),
    ]
}

/// All lines that were ever pushed, and who has seen which.
#[derive(Default)]
struct Model {
    lines: Vec<(u64, Vec<u8>)>,
    /// Lines that the sink has got or missed; none where there is no sink.
    taken: Option<usize>,
    missed: u64,
    read: usize,
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// Whatever happens: readers get each line once and in order, or are told how many they have missed; and the ring
    /// stays small.
    #[test]
    fn nothing_is_lost_without_being_counted(steps in prop::collection::vec(step(), 1..100)) {
        let (mut ring, mut model) = (Ring::default(), Model::default());
        let mut reader = Position::default();
        for (seq, step) in (1u64..).zip(steps) {
            match step {
                Step::Push(lengths) => {
                    let mut text = Vec::new();
                    for (number, length) in lengths.into_iter().enumerate() {
                        let byte = b'a' + u8::try_from((seq as usize + number) % 26).expect("small");
                        let line = vec![byte; length];
                        text.extend_from_slice(&line);
                        text.push(b'\n');
                        model.lines.push((seq, line));
                    }
                    let middle = text.len() / 2;
                    ring.push(&stamp(seq), &[&text[..middle], &text[middle..]]);
                    let runs = ring.runs.len() * RUN;
                    let waits = usize::try_from(ring.untaken()).expect("small");
                    prop_assert!(ring.text.len() + runs <= HISTORY.max(waits + text.len() + runs));
                }
                Step::Take(limit) => {
                    if let (Some(mut position), Some(taken)) = (ring.taken(), &mut model.taken) {
                        let missed = ring.catch_up(&mut position);
                        *taken += usize::try_from(missed).expect("small");
                        model.missed += missed;
                        let mut received = Received::default();
                        let bytes = ring.read(&mut position, limit, &mut received);
                        prop_assert!(bytes <= limit || received.0.len() == 1);
                        ring.take(position, missed);
                        for line in received.0 {
                            prop_assert_eq!(&line, &model.lines[*taken]);
                            *taken += 1;
                        }
                    }
                }
                Step::Read(limit) => {
                    model.read += usize::try_from(ring.catch_up(&mut reader)).expect("small");
                    let mut received = Received::default();
                    ring.read(&mut reader, limit, &mut received);
                    for line in received.0 {
                        prop_assert_eq!(&line, &model.lines[model.read]);
                        model.read += 1;
                    }
                    prop_assert_eq!(reader.line as usize, model.read);
                }
                Step::Sink(present) => {
                    model.missed = ring.missed();
                    ring.set_sink(present);
                    model.taken = match (present, model.taken) {
                        (true, None) => Some(model.lines.len()),
                        (true, taken) => taken,
                        (false, _) => None,
                    };
                }
                Step::Tidy => ring.tidy(),
            }
            prop_assert_eq!(ring.end().line as usize, model.lines.len());
            prop_assert!(ring.text.len() + ring.runs.len() * RUN <= MOST);
            if let Some(taken) = model.taken {
                let unknown = (ring.start().line).saturating_sub(taken as u64);
                prop_assert_eq!(ring.missed(), model.missed + unknown);
            }
        }
        let bytes: usize = model.lines.iter().map(|(_, line)| line.len() + 1).sum();
        prop_assert_eq!(ring.end().at as usize, bytes);
        let kept = &model.lines[ring.start().line as usize..];
        prop_assert_eq!(read_all(&ring, Position::default()), kept);
    }
}

#[test]
fn recent_reads_are_found_and_lines_of_them_skipped() {
    let mut ring = Ring::default();
    ring.push(&stamp(1), &[b"one\ntwo\n"]);
    ring.push(&stamp(2), &[b"three\nfo", b"ur\nfive\n"]);
    let seqs = |most| -> Vec<u64> { ring.recent(most).iter().map(|read| read.seq).collect() };
    assert_eq!((seqs(0), seqs(3), seqs(4)), (vec![], vec![2], vec![2, 1]));
    let read = ring.recent(1)[0];
    assert_eq!(read.lines, 3);
    let behind = |lines| read_all(&ring, ring.skip(read.start, lines));
    assert_eq!(behind(1).first(), Some(&(2, b"four".to_vec())));
    assert_eq!(behind(0).len(), 3);
    assert_eq!(ring.skip(read.start, 3), ring.end());
    assert_eq!(ring.skip(read.start, 9), ring.end());
    assert_eq!(ring.skip(ring.end(), 1), ring.end());
}

proptest! {
    /// Wherever the lines lie in the buffer.
    #[test]
    fn skipping_is_counting(lengths in prop::collection::vec(0..3000usize, 1..400), lines in 0..20u64) {
        let mut ring = Ring::default();
        for (seq, length) in (0..).zip(&lengths) {
            ring.push(&stamp(seq / 7), &[&vec![b'x'; *length], b"\n"]);
        }
        for read in ring.recent(u64::MAX) {
            let reached = ring.skip(read.start, lines);
            prop_assert_eq!(reached.line, read.start.line + lines.min(read.lines));
            let rest = read_all(&ring, reached).len() as u64;
            prop_assert_eq!(rest, ring.end().line - reached.line);
        }
    }
}
