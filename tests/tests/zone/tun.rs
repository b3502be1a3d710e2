//! A tun device whose other end is this test: packets without any link's header.

use nix::sched::{CloneFlags, setns};
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

/// Request `TUNSETIFF`, and flags `IFF_TUN` and `IFF_NO_PI`.
const SET: libc::c_ulong = 0x4004_54CA;
const TUN: u16 = 1;
const NOTHING_BEFORE: u16 = 0x1000;

/// The start of `struct ifreq`.
#[repr(C)]
struct Request {
    name: [u8; 16],
    flags: u16,
    spare: [u8; 22],
}

/// The test's end. Dropped, the device is gone.
pub struct Tun(File);

/// Fields of a received packet: protocol, ports, TCP flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Came {
    pub protocol: u8,
    pub source_port: u16,
    pub destination_port: u16,
    pub flags: u8,
}

impl Tun {
    /// Makes one in a network namespace; `None`: this kernel has none.
    pub fn open(netns: &Path, name: &str) -> Option<Self> {
        let netns = File::open(netns).unwrap();
        let name = name.to_owned();
        // A thread of its own may go elsewhere.
        let opened = std::thread::spawn(move || {
            setns(netns, CloneFlags::CLONE_NEWNET).unwrap();
            let mut both_ways = OpenOptions::new();
            both_ways
                .read(true)
                .write(true)
                .custom_flags(libc::O_NONBLOCK);
            let file = both_ways.open("/dev/net/tun").ok()?;
            let mut request = Request {
                name: [0; 16],
                flags: TUN | NOTHING_BEFORE,
                spare: [0; 22],
            };
            request.name[..name.len()].copy_from_slice(name.as_bytes());
            // SAFETY: a request as long as the kernel reads and writes it.
            let set = unsafe { libc::ioctl(file.as_raw_fd(), SET, &raw mut request) };
            (set == 0).then_some(file)
        });
        opened.join().unwrap().map(Self)
    }

    /// The test's end itself: each read and each write is one packet.
    pub fn into_file(self) -> File {
        self.0
    }

    /// Has a TCP packet arrive.
    pub fn arrive(&mut self, from: ([u8; 4], u16), to: ([u8; 4], u16), flags: u8) {
        let mut tcp = vec![0; 20];
        tcp[..2].copy_from_slice(&from.1.to_be_bytes());
        tcp[2..4].copy_from_slice(&to.1.to_be_bytes());
        (tcp[12], tcp[13], tcp[14]) = (5 << 4, flags, 0x10);
        let pseudo = [&from.0[..], &to.0, &[0, 6, 0, 20], &tcp].concat();
        tcp[16..18].copy_from_slice(&checksum(&pseudo).to_be_bytes());
        let mut packet = vec![0x45, 0, 0, 40, 0, 1, 0, 0, 64, 6, 0, 0];
        packet.extend([from.0, to.0].concat());
        let sum = checksum(&packet);
        packet[10..12].copy_from_slice(&sum.to_be_bytes());
        packet.extend(tcp);
        self.0.write_all(&packet).unwrap();
    }

    /// Returns all IPv4 packets that come out until it has been quiet for a while.
    pub fn comes(&mut self) -> Vec<Came> {
        let (mut came, mut quiet) = (Vec::new(), Instant::now() + Duration::from_millis(700));
        let mut packet = [0; 2048];
        while Instant::now() < quiet {
            match self.0.read(&mut packet) {
                Ok(28..) if packet[0] == 0x45 => {
                    let port = |at: usize| u16::from_be_bytes([packet[at], packet[at + 1]]);
                    let (source_port, destination_port) = (port(20), port(22));
                    came.push(Came {
                        protocol: packet[9],
                        source_port,
                        destination_port,
                        flags: packet[33],
                    });
                    quiet = Instant::now() + Duration::from_millis(700);
                }
                Ok(_) => {}
                Err(_nothing_yet) => std::thread::sleep(Duration::from_millis(10)),
            }
        }
        came
    }
}

fn checksum(bytes: &[u8]) -> u16 {
    let words = bytes
        .chunks(2)
        .map(|two| u32::from(two[0]) << 8 | u32::from(*two.get(1).unwrap_or(&0)));
    let mut sum: u32 = words.sum();
    while sum > 0xFFFF {
        sum = (sum & 0xFFFF) + (sum >> 16);
    }
    !(sum as u16)
}
