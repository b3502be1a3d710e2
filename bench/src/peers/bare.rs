//! The kernel's ring buffer without a channel, read by libbpf's own consumer: a program in C, compiled as it is needed.

use crate::bpf::map_id;
use crate::gatebell::Spent;
use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

const SOURCE: &str = include_str!("consumer.c");

/// The compiled program.
pub struct Consumer(PathBuf);

/// Way in which the consumer waits for records.
#[derive(Clone, Copy, Debug)]
pub enum Waits {
    /// `ring_buffer__poll`: the consumer sleeps until the kernel wakes it.
    Poll,
    /// `ring_buffer__consume` again and again: it never sleeps.
    Busy,
}

/// Records that the consumer got from one ring.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct Taken {
    /// Records.
    pub records: u64,
    /// Time of the last record, in nanoseconds of the records' clock, or 0 if there was none.
    pub last_ns: u64,
    /// Resources that the ring's thread took.
    #[serde(flatten)]
    pub spent: Spent,
}

impl Consumer {
    /// Compiles it into this folder.
    pub fn compile(folder: &Path) -> Result<Self> {
        let (source, program) = (folder.join("consumer.c"), folder.join("consumer"));
        fs::write(&source, SOURCE)?;
        let mut cc = Command::new("cc");
        cc.args([
            "-std=gnu11",
            "-O2",
            "-Wall",
            "-Wextra",
            "-Werror",
            "-pthread",
        ])
        .arg("-o")
        .args([&program, &source])
        .arg("-lbpf");
        let done = cc.output().context("can't start cc")?;
        ensure!(
            done.status.success(),
            "libbpf's consumer does not compile (Debian's libbpf-dev): {}",
            String::from_utf8_lossy(&done.stderr).trim()
        );
        Ok(Self(program))
    }

    /// Has it read these rings, each by a thread, all of them on this processor.
    pub fn start(&self, processor: usize, waits: Waits, rings: &[OwnedFd]) -> Result<Reading> {
        let there = std::thread::available_parallelism().map_or(1, usize::from);
        let mut command = Command::new(&self.0);
        command
            .arg((processor % there).to_string())
            .arg(match waits {
                Waits::Poll => "poll",
                Waits::Busy => "busy",
            });
        for ring in rings {
            command.arg(map_id(ring.as_fd())?.to_string());
        }
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().context("can't start libbpf's consumer")?;
        let says = child.stdout.take().map(BufReader::new);
        let mut reading = Reading { child, says };
        let mut line = String::new();
        let says = reading.says.as_mut().context("it has no output")?;
        says.read_line(&mut line)?;
        ensure!(line.trim() == "ready", "libbpf's consumer did not start");
        Ok(reading)
    }
}

/// A consumer that reads. Dropped, it is ended.
pub struct Reading {
    child: Child,
    says: Option<BufReader<ChildStdout>>,
}

impl Reading {
    /// Lets it read what is still there, and returns what it got from each ring.
    pub fn stop(mut self) -> Result<Vec<Taken>> {
        // The end of its input is what it waits for.
        drop(self.child.stdin.take());
        let mut said = String::new();
        let mut says = self.says.take().context("it has no output")?;
        says.read_to_string(&mut said)?;
        taken(&said)
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

fn taken(said: &str) -> Result<Vec<Taken>> {
    serde_json::from_str(said)
        .with_context(|| format!("libbpf's consumer speaks otherwise: {said}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_consumer_says_of_each_ring_is_understood() {
        let said = "[{\"records\":3,\"last_ns\":70,\"processor_ns\":5,\"wakes\":2},\
                    {\"records\":0,\"last_ns\":0,\"processor_ns\":1,\"wakes\":0}]\n";
        let both = taken(said).expect("as the program writes it");
        let wakes: Vec<u64> = both.iter().map(|ring| ring.spent.wakes).collect();
        assert_eq!(
            (both[0].records, both[0].last_ns, wakes),
            (3, 70, vec![2, 0])
        );
        assert!(taken("").is_err());
    }
}
