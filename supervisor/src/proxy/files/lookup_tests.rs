use super::super::path::{Wanted, wanted};
use super::super::roots::Roots;
use super::*;
use proptest::prelude::*;
use std::fs;
use std::io::Read;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;

/// A directory with files, beside one with a secret.
struct Tree {
    dir: tempfile::TempDir,
    roots: Roots,
}

const SECRET: &str = "secret";

impl Tree {
    fn new() -> Tree {
        let dir = tempfile::tempdir().expect("a directory");
        let write = |name: &str, text: &str| {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().expect("a parent")).expect("made");
            fs::write(path, text).expect("written");
        };
        write("secret.txt", SECRET);
        write("www-sibling/secret.txt", SECRET);
        write("www/index.html", "index");
        write("www/a.txt", "a");
        write("www/sub/index.html", "sub");
        write("www/sub/b.txt", "b");
        write("www/empty/.keep", "");
        let www = dir.path().join("www");
        let link = |to: &Path, name: &str| symlink(to, www.join(name)).expect("linked");
        link(Path::new("../secret.txt"), "out.txt");
        link(&dir.path().join("secret.txt"), "absolute.txt");
        link(Path::new(".."), "up");
        link(Path::new("sub"), "alias");
        link(Path::new("a.txt"), "again.txt");
        link(Path::new("loop"), "loop");
        let roots = Roots::open(&[www].into());
        Tree { dir, roots }
    }

    fn www(&self) -> std::path::PathBuf {
        self.dir.path().join("www")
    }

    fn root(&self) -> &Arc<Root> {
        self.roots.get(&self.www()).expect("it was opened")
    }

    fn look(&self, path: &str, accepted: Accepted) -> Result<Found, Miss> {
        match wanted(path.as_bytes()) {
            Wanted::Redirection => Ok(Found::Directory),
            Wanted::Below(below) => look(self.root(), &below, accepted, Lookup::Complete),
        }
    }

    /// What is served, in a word.
    fn served(&self, path: &str) -> String {
        said(self.look(path, Accepted::default()))
    }
}

fn said(found: Result<Found, Miss>) -> String {
    match found {
        Ok(Found::Directory) => "directory".to_owned(),
        Ok(Found::File(mut opened)) => {
            let mut text = String::new();
            opened.file.read_to_string(&mut text).expect("it is text");
            assert_eq!(opened.size, text.len() as u64);
            text
        }
        Err(Miss::NotFound) => "not found".to_owned(),
        Err(Miss::Outside) => "outside".to_owned(),
        Err(miss) => format!("{miss:?}"),
    }
}

#[test]
fn paths_lead_where_those_of_the_original_lead() {
    let tree = Tree::new();
    for (path, served) in [
        ("", "directory"),
        ("/", "index"),
        ("//", "index"),
        ("/a.txt", "a"),
        ("/a.txt/", "a"),
        ("/a.txt//", "not found"),
        ("/a.txt/x", "not found"),
        ("/sub", "directory"),
        ("/sub/", "sub"),
        ("/sub/b.txt", "b"),
        ("/sub//b.txt", "b"),
        ("/sub/../a.txt", "a"),
        ("/missing/../a.txt", "not found"),
        ("/.", "directory"),
        ("/empty", "directory"),
        ("/empty/", "not found"),
        ("/missing", "not found"),
        ("/..", "not found"),
        ("/../www/a.txt", "not found"),
        ("/../www-sibling/secret.txt", "not found"),
        ("/../secret.txt", "not found"),
        ("/alias/b.txt", "b"),
        ("/again.txt", "a"),
        ("/loop", "not found"),
    ] {
        assert_eq!(tree.served(path), served, "{path}");
    }
    let long = format!("/{}", "x".repeat(300));
    assert_eq!(tree.served(&long), "not found");
    let long = format!("/{}", "x/".repeat(3000));
    assert_eq!(tree.served(&long), "not found");
}

#[test]
fn no_symbolic_link_leads_out() {
    let tree = Tree::new();
    for path in ["/out.txt", "/absolute.txt", "/up", "/up/secret.txt", "/up/"] {
        assert_eq!(tree.served(path), "outside", "{path}");
    }
}

#[test]
fn only_regular_files_are_served() {
    let tree = Tree::new();
    let fifo = tree.www().join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).expect("a pipe");
    let _socket = std::os::unix::net::UnixListener::bind(tree.www().join("socket")).expect("bound");
    assert_eq!(tree.served("/fifo"), "not found");
    assert_eq!(tree.served("/socket"), "not found");
}

#[test]
fn a_copy_is_taken_if_it_is_welcome_and_not_older() {
    let tree = Tree::new();
    let accepted = |field: &'static str| {
        let field = http::HeaderValue::from_static(field);
        Accepted::by(
            &[(http::header::ACCEPT_ENCODING, field)]
                .into_iter()
                .collect(),
        )
    };
    fs::write(tree.www().join("a.txt.gz"), "gz").expect("written");
    let both = accepted("br, gzip");
    assert_eq!(said(tree.look("/a.txt", both)), "gz");
    assert_eq!(said(tree.look("/a.txt", Accepted::default())), "a");
    assert_eq!(said(tree.look("/sub/b.txt", both)), "b");
    fs::write(tree.www().join("a.txt.br"), "br").expect("written");
    assert_eq!(said(tree.look("/a.txt", both)), "br");
    assert_eq!(said(tree.look("/a.txt", accepted("gzip"))), "gz");
    assert_eq!(said(tree.look("/a.txt.gz", both)), "gz");
    let old = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1);
    let copy = fs::File::options()
        .write(true)
        .open(tree.www().join("a.txt.br"))
        .expect("opened");
    copy.set_modified(old).expect("our own file");
    assert_eq!(said(tree.look("/a.txt", both)), "gz");
    symlink("../../secret.txt", tree.www().join("sub/b.txt.gz")).expect("linked");
    assert_eq!(
        said(tree.look("/sub/b.txt", both)),
        "b",
        "a copy from outside is none"
    );
}

#[test]
fn a_directory_that_was_built_again_is_noticed() {
    let tree = Tree::new();
    let root = tree.root();
    assert!(!root.look_at() && !root.was_replaced());
    fs::rename(tree.www(), tree.dir.path().join("old")).expect("moved");
    assert!(
        !root.look_at(),
        "gone is not replaced: there is nothing else to be found"
    );
    fs::write(tree.www(), "").expect("written");
    assert!(!root.look_at(), "a file is no directory");
    fs::remove_file(tree.www()).expect("removed");
    fs::create_dir(tree.www()).expect("made");
    assert!(root.look_at() && root.was_replaced());
}

/// Parts of which hostile paths are made.
fn part() -> impl Strategy<Value = &'static str> {
    prop_oneof![
        Just(".."),
        Just("."),
        Just(""),
        Just("sub"),
        Just("up"),
        Just("alias"),
        Just("out.txt"),
        Just("secret.txt"),
        Just("www"),
        Just("www-sibling"),
        Just("index.html"),
        Just("a.txt"),
        Just("..."),
        Just("\\"),
        Just("..\\.."),
        Just("%2e%2e"),
        Just("etc"),
        Just("passwd"),
        Just("proc"),
        Just("self"),
        Just("root"),
        Just("loop"),
    ]
}

proptest! {
    #[test]
    fn nothing_outside_is_ever_served(parts in proptest::collection::vec(part(), 0..9)) {
        thread_local! {
            static TREE: Tree = Tree::new();
        }
        let path = format!("/{}", parts.join("/"));
        let served = TREE.with(|tree| tree.served(&path));
        let inside = ["directory", "index", "a", "sub", "b", "not found", "outside"];
        prop_assert!(inside.contains(&served.as_str()), "{path}: {served}");
    }
}
