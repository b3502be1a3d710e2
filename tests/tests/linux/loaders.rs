//! Tests of a device server for a driver that somebody else has loaded.

use super::{RING, ask, attach, numbers};
use crate::place::{Folder, object};
use channel::server::{DeviceServer, DeviceServerError, LoadedDriver, Parts, Policy};
use channel::sys::linux::bpf;
use channel::{Error, Mask};
use sample_abi::{Operation, kind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

#[test]
fn a_driver_is_served_by_its_descriptors_whatever_has_loaded_it() {
    let folder = Folder::make();
    let socket = folder.path("device.sock");
    let mut ebpf = aya::Ebpf::load_file(object("gatebell_sample")).unwrap();
    let parts = Parts {
        command: Some("operate"),
        named: Some("NAMED"),
    };
    let mut loaded = || LoadedDriver::of(&mut ebpf, parts).unwrap();
    let serve = |loaded| DeviceServer::serve(loaded, &socket, Policy::default());

    type Change = fn(&mut LoadedDriver);
    let changes: [(&str, Change); 3] = [
        ("SLOTS", |wrong| {
            std::mem::swap(&mut wrong.slots, &mut wrong.used)
        }),
        ("ring as its named event", |wrong| {
            wrong.named = Some(bpf::create_page(8).unwrap())
        }),
        ("BOOKS", |wrong| wrong.books = bpf::create_page(8).unwrap()),
    ];
    for (named, change) in changes {
        let mut wrong = loaded();
        change(&mut wrong);
        let refused = serve(wrong).unwrap_err();
        assert!(
            matches!(&refused, DeviceServerError::Part(part) if part == named),
            "{refused}"
        );
    }
    let mut wrong = loaded();
    wrong.ring_program = bpf::create_page(8).unwrap();
    let refused = serve(wrong).unwrap_err();
    assert!(
        matches!(refused, DeviceServerError::Channel(Error::System { .. })),
        "{refused}"
    );

    let (mut server, stop) = (serve(loaded()).unwrap(), AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                server.turn(Duration::from_millis(20), &[]).unwrap();
            }
        });
        let device = channel::open(&socket).unwrap();
        let mut app = attach(&device, RING, Mask::of(kind::NOTICE));
        // A second server in the same place gets nothing, and takes nothing over.
        let second = serve(loaded()).map(drop);
        let asked = ask(&device, Operation::Notify, 3, 0);
        let told = numbers(&mut app);
        stop.store(true, Ordering::Relaxed);
        assert!(matches!(second, Err(DeviceServerError::Socket { .. })));
        assert!(asked.is_ok(), "{asked:?}");
        assert_eq!(told.len(), 3);
    });
}
