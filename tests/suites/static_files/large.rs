//! Files that are larger than a buffer, not in memory, or cut while they are sent.

use super::files;
use crate::harness::process;
use std::fs::File;

#[test]
fn a_large_file_costs_no_memory_and_a_slow_reader_nobody_else() {
    const SIZE: u64 = 2 << 30;
    let site = files();
    let large = File::create(site.path("public/large.bin")).expect("our own file");
    large.set_len(SIZE).expect("a file of holes");
    let paster = site.serve();
    paster.text("/files/ten.txt");
    let proxy = paster.status().proxy.pid.expect("a proxy");
    let before = process::rss(proxy);
    let mut slow = paster.connect();
    slow.send(b"GET /files/large.bin HTTP/1.1\r\nHost: a\r\n\r\n")
        .expect("sent");
    let head = slow.head().expect("a head");
    assert_eq!(
        head.header("content-length"),
        Some(SIZE.to_string().as_str())
    );
    let mut quick = paster.connect();
    quick
        .send(b"GET /files/large.bin HTTP/1.1\r\nHost: a\r\n\r\n")
        .expect("sent");
    assert_eq!(quick.head().expect("a head").status, 200);
    let mut most = 0;
    for _ in 0..64 {
        assert!(
            quick
                .bytes(1 << 20)
                .expect("more")
                .iter()
                .all(|&byte| byte == 0)
        );
        most = most.max(process::rss(proxy));
    }
    assert!(most < before + (8 << 20), "{before} bytes, then {most}");
    assert_eq!(paster.text("/files/ten.txt"), "0123456789");
}

#[test]
fn what_is_not_in_the_cache_of_the_kernel_is_read_from_the_disk() {
    let numbers: String = (0..2_000_000)
        .map(|number| format!("{number:07}\n"))
        .collect();
    let site = files()
        .file("public/numbers.txt", &numbers)
        .file("public/few.txt", "0123456789");
    let paster = site.serve();
    for (name, range, expected) in [
        ("numbers.txt", "bytes=0-", numbers.as_str()),
        ("numbers.txt", "bytes=8000000-8000006", "1000000"),
        ("few.txt", "bytes=0-", "0123456789"),
    ] {
        let file = File::open(paster.site().path("public").join(name)).expect("our own file");
        file.sync_all().expect("our own file");
        let forget = nix::fcntl::PosixFadviseAdvice::POSIX_FADV_DONTNEED;
        nix::fcntl::posix_fadvise(&file, 0, 0, forget).expect("an advice");
        let part = paster.ask("GET", &format!("/files/{name}"), &[("Range", range)]);
        assert_eq!(part.status, 206);
        assert!(
            part.text() == expected,
            "{name} {range}: {} bytes",
            part.body.len()
        );
    }
}

#[test]
fn a_file_that_is_cut_does_not_look_whole() {
    let site = files();
    let large = File::create(site.path("public/large.bin")).expect("our own file");
    large.set_len(64 << 20).expect("a file of holes");
    let paster = site.serve();
    let mut connection = paster.connect();
    connection
        .send(b"GET /files/large.bin HTTP/1.1\r\nHost: a\r\n\r\n")
        .expect("sent");
    assert_eq!(connection.head().expect("a head").status, 200);
    large.set_len(1).expect("our own file");
    let rest = connection.rest().map(|rest| rest.len()).unwrap_or(0);
    assert!(rest < 64 << 20, "{rest}");
}
