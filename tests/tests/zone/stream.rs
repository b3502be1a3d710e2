//! Traffic that goes on while the service comes and goes, and counters of what got where it should not.

use super::Protected;
use super::probe::{outside, wait_for_listener};
use gatebell_tests::PATIENCE;
use lab::{INSIDE, OUTSIDE};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Refused and allowed packets both ways, and two connections, one begun on each side.
pub struct Stream {
    stop: PathBuf,
    folder: PathBuf,
    children: Vec<(&'static str, Child)>,
}

/// Counts of what a stream tried, sent and received.
#[derive(Debug)]
pub struct Went {
    /// Datagrams to a refused port that the zone tried to send, and those of them that the program was told of.
    pub tried: u64,
    pub told: u64,
    /// Lines sent and received in each connection: the zone's own, and the one that came from outside.
    pub out: (u64, u64),
    pub came: (u64, u64),
}

/// Ports of the connections: those that nftables' rules know, so that both judges count the same.
const OUT: u16 = 80;
const IN: u16 = 8080;

/// A sender ends when the file `stop` appears, and after so many rounds in any case.
const ROUNDS: u32 = 6000;

/// A connection has gone on for a while once so many lines more were heard.
const LINES: u64 = 10;

impl Stream {
    /// Counts what gets where the lab's rules let nothing get: datagrams to port 9 outside, to port 5353 in the zone.
    pub fn watch_leaks(zone: &Protected) {
        for (inside, hook, priority, ports) in [
            (true, "input", 100, "5353"),
            (false, "prerouting", -400, "9"),
        ] {
            let rules = format!(
                "table inet leaks {{\n counter leaked {{ }}\n chain seen {{\n  \
                 type filter hook {hook} priority {priority}\n  udp dport {ports} counter name leaked\n }}\n}}"
            );
            let nft = ["nft", &rules];
            let mut command = if inside {
                zone.lab.inside(&nft)
            } else {
                zone.lab.outside(&nft)
            };
            assert!(command.status().unwrap().success());
        }
    }

    /// Returns the number of packets that leaked.
    pub fn leaked(zone: &Protected) -> u64 {
        let list = ["nft", "list", "counter", "inet", "leaks", "leaked"];
        let lists = [zone.lab.inside(&list), zone.lab.outside(&list)];
        lists
            .into_iter()
            .map(|mut list| packets(&list.output().unwrap().stdout))
            .sum()
    }

    /// Starts the stream, and waits until both connections are there.
    pub fn start(zone: &Protected) -> Self {
        let folder = zone.lab.folder().join("stream");
        std::fs::create_dir(&folder).unwrap();
        let mut stream = Self {
            stop: folder.join("stop"),
            folder,
            children: Vec::new(),
        };
        let round = |body: &str| {
            format!(
                "for n in {{1..{ROUNDS}}}; do [ -e \"$STOP\" ] && break; {body}; sleep 0.02; done; echo $n"
            )
        };
        let hear =
            |port: u16, file: &str| format!("exec busybox nc -l -p {port} > \"$FOLDER/{file}\"");
        let speak =
            |to: &str, port: u16| format!("exec 3<>/dev/tcp/{to}/{port}; {}", round("echo $n >&3"));
        let send = |to: &str, port: u16| round(&format!("echo > /dev/udp/{to}/{port}"));
        stream.run(zone, "hear out", false, &hear(OUT, "out"));
        stream.run(zone, "hear in", true, &hear(IN, "in"));
        wait_for_listener(&outside(zone), OUT);
        wait_for_listener(&zone.lab.netns(), IN);
        stream.run(zone, "speak out", true, &speak(OUTSIDE, OUT));
        stream.run(zone, "speak in", false, &speak(INSIDE, IN));
        stream.wait_for_more();
        stream.run(zone, "refused out", true, &send(OUTSIDE, 9));
        stream.run(zone, "refused in", false, &send(INSIDE, 5353));
        stream
    }

    /// Waits until both connections have gone on from here for a while.
    pub fn wait_for_more(&self) {
        let heard = || ["out", "in"].map(|file| self.heard(file));
        let before = heard();
        let end = Instant::now() + PATIENCE;
        while heard()
            .iter()
            .zip(before)
            .any(|(now, before)| *now < before + LINES)
        {
            assert!(
                Instant::now() < end,
                "a connection does not go on: {before:?}, then {:?}",
                heard()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Ends the stream, and returns its counts.
    pub fn end(mut self) -> Went {
        std::fs::write(&self.stop, "").unwrap();
        let ended: Vec<_> = self
            .children
            .drain(..)
            .map(|(what, child)| (what, child.wait_with_output().unwrap()))
            .collect();
        let said = |wanted: &str| {
            let (_, output) = ended.iter().find(|(what, _)| *what == wanted).unwrap();
            let rounds = String::from_utf8_lossy(&output.stdout)
                .trim()
                .parse::<u64>()
                .unwrap();
            // The round in which it found the file was none.
            let told = String::from_utf8_lossy(&output.stderr)
                .matches("Operation not permitted")
                .count() as u64;
            (rounds - 1, told)
        };
        let (tried, told) = said("refused out");
        let out = (said("speak out").0, self.heard("out"));
        let came = (said("speak in").0, self.heard("in"));
        Went {
            tried,
            told,
            out,
            came,
        }
    }

    fn heard(&self, file: &str) -> u64 {
        let text = std::fs::read_to_string(self.folder.join(file)).unwrap_or_default();
        text.lines().count() as u64
    }

    fn run(&mut self, zone: &Protected, what: &'static str, inside: bool, line: &str) {
        let line = ["bash", "-c", line];
        let mut command: Command = if inside {
            zone.lab.inside(&line)
        } else {
            zone.lab.outside(&line)
        };
        command.env("STOP", &self.stop).env("FOLDER", &self.folder);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        self.children.push((what, command.spawn().unwrap()));
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        for (_, child) in &mut self.children {
            // It may have ended.
            let _ended = child.kill();
            let _waited = child.wait();
        }
    }
}

/// The packets of the one counter in nft's answer.
fn packets(text: &[u8]) -> u64 {
    let text = String::from_utf8_lossy(text);
    let after = text
        .split_whitespace()
        .skip_while(|word| *word != "packets")
        .nth(1);
    after.and_then(|number| number.parse().ok()).unwrap()
}
