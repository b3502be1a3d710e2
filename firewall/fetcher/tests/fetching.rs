//! Fetching of lists by TLS within bounds: whatever a server does, the last copy stays whole.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test may fail")]

mod server;

use server::{Authority, Server, Stream, ok, status};
use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use store::lists::{CopyHead, Tried, Wanted, WantedList};

const HERE: &str = "127.0.0.1";
const GOOD: &[u8] = b"192.0.2.0/24\n198.51.100.7\n";

/// Folder of one test, with the files for `gatebell-fetch`.
struct Place {
    folder: tempfile::TempDir,
    authority: Authority,
}

impl Place {
    /// Makes the folder, and enters a new network namespace where this user may make one.
    fn new() -> Self {
        if nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET).is_ok() {
            let up = Command::new("ip")
                .args(["link", "set", "lo", "up"])
                .status();
            assert!(up.unwrap().success());
        }
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("copies")).unwrap();
        let authority = Authority::new();
        fs::write(folder.path().join("roots"), authority.pem()).unwrap();
        Self { folder, authority }
    }

    fn serve(
        &self,
        answer: impl Fn(&str, &mut Stream) -> std::io::Result<()> + Send + Sync + 'static,
    ) -> Server {
        self.authority.serve(HERE, answer)
    }

    fn copies(&self) -> PathBuf {
        self.folder.path().join("copies")
    }

    /// Makes the command with a minute for each list.
    fn command(&self, url: &str, asked: u64) -> Command {
        self.command_within(60, url, asked)
    }

    fn command_within(&self, seconds: u64, url: &str, asked: u64) -> Command {
        let wanted = Wanted {
            lists: vec![WantedList {
                url: url.to_owned(),
                name: "a".to_owned(),
                refresh_seconds: 86_400,
                asked,
            }],
        };
        let file = self.folder.path().join("wanted");
        fs::write(&file, serde_json::to_vec(&wanted).unwrap()).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_gatebell-fetch"));
        command.arg("--wanted").arg(file);
        command.arg("--copies").arg(self.copies());
        command.arg("--roots").arg(self.folder.path().join("roots"));
        command.args(["--seconds", &seconds.to_string(), "--mebibytes", "1"]);
        command
    }

    /// Fetches the list at this URL, whenever that was done last.
    fn fetch(&self, url: &str) -> Output {
        self.command(url, u64::MAX).output().unwrap()
    }

    /// Returns the head of the copy, and the list behind it.
    fn copy(&self) -> Option<(CopyHead, Vec<u8>)> {
        let mut whole = fs::read(self.copies().join("a.list")).ok()?;
        let end = whole.iter().position(|byte| *byte == b'\n').unwrap();
        let list = whole.split_off(end + 1);
        Some((serde_json::from_slice(&whole).unwrap(), list))
    }

    fn failed(&self) -> Option<String> {
        let text = fs::read(self.copies().join("a.tried")).unwrap();
        let tried: Tried = serde_json::from_slice(&text).unwrap();
        tried.failed.map(|failed| failed.to_string())
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.copies()).unwrap();
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

#[test]
fn a_list_is_fetched_once_and_asked_for_again_by_what_names_its_state() {
    let place = Place::new();
    let server = place.serve(|request, stream| {
        let known = request.to_ascii_lowercase();
        if known.contains("if-none-match: \"one\"")
            && known.contains("if-modified-since: sun, 22 nov 2026")
        {
            return status(stream, "304 Not Modified", "");
        }
        ok(
            stream,
            "ETag: \"one\"\r\nLast-Modified: Sun, 22 Nov 2026 10:00:00 GMT\r\n",
            GOOD,
        )
    });
    let url = server.url(HERE, "bad.txt?key=secret");
    let output = place.fetch(&url);
    assert!(output.status.success(), "{output:?}");
    let (head, list) = place.copy().unwrap();
    assert_eq!((head.url.as_str(), list.as_slice()), (url.as_str(), GOOD));
    assert_eq!(place.failed(), None);
    assert!(!String::from_utf8_lossy(&output.stderr).contains("secret"));
    // Not due: nobody is asked.
    assert!(place.command(&url, 0).status().unwrap().success());
    assert_eq!(server.asked().len(), 1);
    // Due, and unchanged: the copy stays as it is.
    assert!(place.fetch(&url).status.success());
    let asked = server.asked();
    let second = asked.get(1).unwrap().to_ascii_lowercase();
    assert!(second.contains("if-none-match: \"one\""), "{second}");
    assert!(
        second.contains("if-modified-since: sun, 22 nov 2026"),
        "{second}"
    );
    assert_eq!(place.copy().unwrap(), (head, GOOD.to_vec()));
    // What nobody wants any more goes.
    let other = server.url(HERE, "other.txt");
    let mut wanted = place.command(&other, 0);
    let text = fs::read_to_string(place.folder.path().join("wanted")).unwrap();
    fs::write(
        place.folder.path().join("wanted"),
        text.replace("\"a\"", "\"b\""),
    )
    .unwrap();
    assert!(wanted.status().unwrap().success());
    assert_eq!(place.names(), ["b.list", "b.tried"]);
}

#[test]
fn whatever_a_server_does_the_last_copy_stays_whole_and_what_is_wrong_is_said() {
    let place = Place::new();
    let plain = std::net::TcpListener::bind((HERE, 0)).unwrap();
    let plain_port = plain.local_addr().unwrap().port();
    let stranger = Authority::new().serve(HERE, |_, stream| ok(stream, "", GOOD));
    let server = place.serve(move |request, stream| {
        let path = request.split(' ').nth(1).unwrap_or_default();
        let chunk = [b'9'; 16 << 10];
        match path {
            "/good" => ok(stream, "", GOOD),
            "/missing" => status(stream, "404 Not Found", ""),
            "/endless" => {
                stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
                loop {
                    stream.write_all(b"4000\r\n")?;
                    stream.write_all(&chunk)?;
                    stream.write_all(b"\r\n")?;
                }
            }
            "/drip" => {
                stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10000\r\n\r\n")?;
                loop {
                    stream.write_all(b"1")?;
                    std::thread::sleep(Duration::from_millis(50));
                }
            }
            "/slow-head" => loop {
                stream.write_all(b"H")?;
                std::thread::sleep(Duration::from_secs(60));
            },
            "/long-head" => {
                stream.write_all(b"HTTP/1.1 200 OK\r\nX: ")?;
                loop {
                    stream.write_all(&chunk)?;
                }
            }
            "/loop" => status(stream, "302 Found", "Location: /loop\r\n"),
            "/away" => {
                let to = format!("Location: http://{HERE}:{plain_port}/list\r\n");
                status(stream, "301 Moved Permanently", &to)
            }
            "/short" => {
                stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n192.0.2.1\n")
            }
            "/cut" => {
                stream.write_all(
                    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\na\r\n192.0.2.1\n\r\n",
                )?;
                stream.flush()?;
                stream.sock.shutdown(std::net::Shutdown::Both)
            }
            // Whoever stands between may cut this off, and nobody sees it.
            "/open-ended" => stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n192.0.2.1\n"),
            _ => stream.write_all(b"nonsense\r\n\r\n"),
        }
    });
    assert!(place.fetch(&server.url(HERE, "good")).status.success());
    let head = place.copy().unwrap().0;
    let begun = Instant::now();
    for (path, said) in [
        ("missing", "404"),
        ("endless", "too long: 1 MiB"),
        ("drip", "too slow: 5 s"),
        ("slow-head", "too slow: 5 s"),
        ("long-head", ""),
        ("loop", "redirects: 5"),
        ("away", "without tls"),
        ("short", "cut off"),
        ("cut", ""),
        ("open-ended", "no end"),
        ("nonsense", ""),
    ] {
        // By the same address as the good one: a server that changes.
        let seconds = if said == "too slow: 5 s" { 5 } else { 60 };
        let mut command = place.command_within(seconds, &server.url(HERE, path), u64::MAX);
        let output = command.output().unwrap();
        assert!(
            output.status.success(),
            "{path}: one list is not all of them: {output:?}"
        );
        let failed = place.failed().unwrap_or_else(|| panic!("{path} is taken"));
        assert!(failed.contains(said), "{path}: {failed}");
        assert_eq!(place.copy(), Some((head.clone(), GOOD.to_vec())), "{path}");
        assert_eq!(place.names(), ["a.list", "a.tried"], "{path}");
    }
    // Who is not vouched for, and who is vouched for under another name.
    place.fetch(&stranger.url(HERE, "good"));
    assert!(place.failed().unwrap().contains("certificate"));
    place.fetch(&server.url("localhost", "good"));
    assert!(place.failed().unwrap().contains("certificate"));
    assert_eq!(place.copy(), Some((head, GOOD.to_vec())));
    // Not a promise of speed: each of ten ends by itself, within its bound.
    assert!(begun.elapsed() < Duration::from_secs(600));
    drop(plain);
}

#[test]
fn a_run_that_is_killed_in_the_midst_leaves_the_last_copy_whole() {
    let place = Place::new();
    let begun = Arc::new(AtomicUsize::new(0));
    let told = begun.clone();
    let server = place.serve(move |_, stream| {
        if told.fetch_add(1, Ordering::SeqCst) == 0 {
            return ok(stream, "", GOOD);
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 900000\r\n\r\n")?;
        stream.write_all(&[b'1'; 64 << 10])?;
        stream.flush()?;
        std::thread::sleep(Duration::from_secs(60));
        Ok(())
    });
    let url = server.url(HERE, "list");
    assert!(place.fetch(&url).status.success());
    let before = place.copy();
    let mut running = place.command(&url, u64::MAX);
    let mut running = running.stderr(Stdio::null()).spawn().unwrap();
    let end = Instant::now() + Duration::from_secs(60);
    while place.names().len() < 3 {
        assert!(Instant::now() < end, "it never begins to write");
        std::thread::sleep(Duration::from_millis(5));
    }
    running.kill().unwrap();
    running.wait().unwrap();
    assert_eq!(place.names().len(), 3, "what was not finished lies there");
    assert_eq!(place.copy(), before);
    // The next run takes that away, whether anything is due or not.
    assert!(place.command(&url, 0).status().unwrap().success());
    assert_eq!(place.names(), ["a.list", "a.tried"]);
    assert_eq!(place.copy(), before);
}
