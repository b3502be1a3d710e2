//! Fuzzes requests to a driver's device, on the model of a kernel: served or refused by name, and the counters are
//! right afterwards.
#![no_main]

use channel::driver::table::Signal;
use channel::sys::model::{Kernel, Model, Process};
use channel::{Device, Event, Kind};
use channel_abi::command::MIN_RING;
use channel_abi::record::MAX_RECORD;
use channel_abi::{AnyCommand, Header, Reference, RequestHeader};
use gatebell_fuzz::Bytes;
use zerocopy::{FromBytes, IntoBytes};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| any_requests_leave_the_books_right(bytes));

/// Number of requests of one input. The next constant: number of apps that make them.
const REQUESTS: usize = 64;
const APPS: usize = 3;
/// Kind of the driver's records; what they are about does not matter.
const ANY: Kind = Kind::new::<40>();

/// Makes a kernel whose driver answers its own commands too: each signals the event, and sends a record.
fn kernel() -> Kernel {
    Kernel::with_commands(|request, _, buffer| {
        let header: RequestHeader = buffer.request()?;
        request.event()?.signal();
        request.offer(ANY, &[Header::default(); 2])?;
        buffer.answer(&header)
    })
}

struct App {
    process: Process,
    device: Device<Model>,
    event: Event<Model>,
}

fn any_requests_leave_the_books_right(bytes: &[u8]) {
    let (mut bytes, kernel) = (Bytes(bytes), kernel());
    let apps: Vec<App> = (0..APPS)
        .map(|number| App::start(&kernel, number == 0))
        .collect();
    for _ in 0..REQUESTS {
        if bytes.is_empty() {
            break;
        }
        let app = &apps[usize::from(bytes.byte()) % APPS];
        app.ask(&mut bytes);
        kernel.offer(ANY, &[Header::default(); 2]);
    }
    apps.iter().for_each(|app| app.process.kill());
    drop(apps);
    let books = kernel.unload().expect("nobody has a file open");
    assert_eq!(
        (books.taken, books.attached),
        (books.released, 0),
        "every reference was let go of"
    );
    assert_eq!(kernel.live_events(), 0, "no event is left");
}

impl App {
    fn start(kernel: &Kernel, admin: bool) -> Self {
        let process = kernel.process(admin);
        let device = process.open().expect("a device");
        let event = device.create_event(MIN_RING).expect("an event");
        Self {
            process,
            device,
            event,
        }
    }

    fn ask(&self, bytes: &mut Bytes<'_>) {
        let [number, how, size, room] = bytes.array();
        let room = usize::from(room) * 8;
        let number = if how & 1 == 0 {
            number.into()
        } else {
            u32::from_le_bytes(bytes.array())
        };
        let input = self.with_a_handle_that_is_right(bytes.take(size.into()), how);
        if let Some(command) = AnyCommand::from_control_code(number) {
            assert_eq!(command.control_code(), number);
        }
        match self.device.system().request(number, &input, room) {
            Ok(answer) => assert!(answer.len() <= room, "an answer longer than its room"),
            Err(refusal) => assert_eq!(channel::Refusal::try_from(refusal as u32), Ok(refusal)),
        }
    }

    /// Puts the right handle into a reference, which a fuzzer would have to guess.
    fn with_a_handle_that_is_right(&self, input: &[u8], how: u8) -> Vec<u8> {
        match Reference::read_from_bytes(input) {
            Ok(request) if how & 2 == 0 => {
                let event = self.event.system().handle();
                Reference { event, ..request }.as_bytes().to_vec()
            }
            _ => input.to_vec(),
        }
    }
}

const _: () = assert!(MAX_RECORD < 256 * 8);
