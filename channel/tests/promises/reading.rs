//! Waits and drains of an app: the records that it gets, and those that it loses.

use super::*;
use channel::Header;
use zerocopy::{Immutable, KnownLayout};

#[test]
fn a_spinning_reader_misses_neither_a_record_nor_its_own_signal_nor_the_end() {
    let kernel = Kernel::default();
    let mut attachment = attach(&kernel.process(false)).with_pace(Pace::Spin(Duration::MAX));
    assert_eq!(
        attachment.wait(Some(Duration::from_millis(20))).unwrap(),
        Wake::TimedOut
    );
    let driver = std::thread::spawn({
        let kernel = kernel.clone();
        move || kernel.offer(NUMBER, &Number::new(7))
    });
    assert_eq!(attachment.wait(SOON).unwrap(), Wake::Ready);
    driver.join().unwrap();
    assert_eq!(drain_numbers(&mut attachment), [7]);
    // The record's own signal may still be there.
    attachment.event().clear().unwrap();
    attachment.event().set().unwrap();
    assert_eq!(attachment.wait(SOON).unwrap(), Wake::Ready);
    raw(&kernel.process(true)).0.detach_all().unwrap();
    assert_eq!(attachment.wait(SOON).unwrap(), Wake::Ready);
    assert_eq!(
        attachment.drain(|_| {}).unwrap().ended,
        Some(Ending::DriverStopping)
    );
}

/// Returns the time for which this thread has kept a processor busy.
#[cfg(target_os = "linux")]
fn busy() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    let nanoseconds = text.split(' ').next().unwrap();
    Duration::from_nanos(nanoseconds.parse().unwrap())
}

#[cfg(target_os = "linux")]
#[test]
fn a_reader_that_has_spun_for_its_time_sleeps_and_misses_nothing() {
    let kernel = Kernel::default();
    let spins = Duration::from_millis(10);
    let mut attachment = attach(&kernel.process(false)).with_pace(Pace::Spin(spins));
    let before = busy();
    let most = Duration::from_secs(1);
    assert_eq!(attachment.wait(Some(most)).unwrap(), Wake::TimedOut);
    let busy = busy() - before;
    assert!(busy < most / 2, "{busy:?} of {most:?}");
    let driver = std::thread::spawn({
        let kernel = kernel.clone();
        move || {
            std::thread::sleep(10 * spins);
            kernel.offer(NUMBER, &Number::new(7));
        }
    });
    assert_eq!(attachment.wait(SOON).unwrap(), Wake::Ready);
    driver.join().unwrap();
    assert_eq!(drain_numbers(&mut attachment), [7]);
}

/// A record of the longest kind that any driver may make.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Longest {
    header: Header,
    words: [u64; 121],
}

#[test]
fn a_record_of_a_kibibyte_arrives_whole() {
    assert_eq!(size_of::<Longest>(), 1024);
    let kernel = Kernel::default();
    let mut attachment = attach(&kernel.process(false));
    let words = std::array::from_fn(|n| n as u64);
    let (header, mut whole) = (Header::default(), 0);
    for _ in 0..8 {
        kernel.offer(NUMBER, &Longest { header, words });
    }
    let drained = attachment.drain(|item| match item {
        Item::Record(record) => {
            whole += u64::from(record.read::<Longest>().unwrap().words == words)
        }
        Item::Lost(_) => {}
    });
    // Four of them, or three with what the ring takes for itself, have room.
    assert!(drained.unwrap().records >= 3);
    let account = attachment.account().unwrap();
    assert_eq!((account.delivered, account.balances()), (whole, true));
}

#[test]
fn every_record_reaches_the_app_that_waits() {
    let kernel = Kernel::default();
    let mut attachment = attach(&kernel.process(false)).with_pace(Pace::Prompt);
    let driver = std::thread::spawn({
        let kernel = kernel.clone();
        move || (0..10_000).for_each(|n| kernel.offer(NUMBER, &Number::new(n)))
    });
    let (mut seen, mut lost) = (0_u64, 0_u64);
    while seen + lost < 10_000 {
        assert_eq!(
            attachment.wait(SOON).unwrap(),
            Wake::Ready,
            "a signal is missing"
        );
        attachment
            .drain(|item| match item {
                Item::Record(_) => seen += 1,
                Item::Lost(_) => {}
            })
            .unwrap();
        lost = attachment.account().unwrap().kernel.lost_in_all();
    }
    driver.join().unwrap();
    let account = attachment.account().unwrap();
    assert!(account.balances(), "{account:?}");
    assert_eq!(account.kernel.offered, 10_000);
}

#[test]
fn a_stopped_reader_loses_exactly_what_does_not_fit() {
    let kernel = Kernel::default();
    let mut attachment = attach(&kernel.process(false));
    (0..1_000).for_each(|n| kernel.offer(NUMBER, &Number::new(n)));
    let account = attachment.account().unwrap();
    assert_eq!(
        (account.kernel.offered, account.kernel.committed),
        (1_000, FIT)
    );
    assert_eq!(account.kernel.lost, [1_000 - FIT, 0, 0]);
    assert_eq!(
        (account.in_ring, account.delivered, account.lost_untold()),
        (FIT, 0, 1_000 - FIT)
    );
    assert_eq!(drain_numbers(&mut attachment), (0..FIT).collect::<Vec<_>>());

    kernel.offer(NUMBER, &Number::new(1_000));
    let mut told = Vec::new();
    attachment
        .drain(|item| {
            if let Item::Lost(lost) = item {
                told.push(lost.count);
            }
        })
        .unwrap();
    assert_eq!(
        told,
        [1_000 - FIT],
        "the loss is told before the record that follows it"
    );
    let account = attachment.account().unwrap();
    assert!(account.balances(), "{account:?}");
    assert_eq!(
        (account.gaps, account.lost_untold()),
        (1_000 - FIT, 0),
        "gaps seen are losses counted"
    );
}

/// Reads to the end, as README's loop does: returns the numbers that came, and the end.
fn read_to_the_end(attachment: &mut Attachment<Model>) -> (Vec<u64>, Ending) {
    let mut numbers = Vec::new();
    loop {
        match attachment.wait(None).unwrap() {
            Wake::Ready => numbers.extend(drain_numbers(attachment)),
            Wake::TimedOut => panic!("there was no time"),
            Wake::Ended(why) => return (numbers, why),
        }
    }
}

#[test]
fn the_end_is_the_last_thing_that_an_app_hears() {
    let kernel = Kernel::default();
    for pace in [
        Pace::Prompt,
        Pace::default(),
        Pace::Spin(Duration::MAX),
        Pace::Spin(Duration::ZERO),
    ] {
        let mut attachment = attach(&kernel.process(false)).with_pace(pace);
        (0..FIT).for_each(|n| kernel.offer(NUMBER, &Number::new(n)));
        let (admin, _) = raw(&kernel.process(true));
        admin.detach_all().unwrap();
        let (numbers, why) = read_to_the_end(&mut attachment);
        assert_eq!(numbers, (0..FIT).collect::<Vec<_>>());
        assert_eq!(why, Ending::DriverStopping);
        let again = attachment.wait(None).unwrap();
        assert_eq!(again, Wake::Ended(why), "and each time");
        admin.resume().unwrap();

        let mut attachment = attach(&kernel.process(false)).with_pace(pace);
        kernel.offer(NUMBER, &Number::new(7));
        attachment.detach().unwrap();
        let ended = read_to_the_end(&mut attachment);
        assert_eq!(ended, (vec![7], Ending::Dereferenced), "by itself");
    }
}

#[test]
fn a_drain_that_is_stopped_leaves_the_rest_to_the_next_one() {
    let kernel = Kernel::default();
    let mut attachment = attach(&kernel.process(false)).with_pace(Pace::Prompt);
    (0..FIT + 3).for_each(|n| kernel.offer(NUMBER, &Number::new(n)));
    assert_eq!(attachment.wait(SOON).unwrap(), Wake::Ready);
    for number in 0..FIT {
        let first = attachment.drain(|item| match item {
            Item::Record(record) => ControlFlow::Break(record.read::<Number>().unwrap().number),
            Item::Lost(_) => ControlFlow::Continue(()),
        });
        assert_eq!(first.unwrap(), ControlFlow::Break(number));
        let account = attachment.account().unwrap();
        assert!(account.balances(), "{account:?}");
        assert_eq!(account.delivered, number + 1);
        let more = attachment.wait(Some(Duration::ZERO)).unwrap();
        assert_eq!(more, Wake::Ready, "no signal tells of what is left");
    }
    kernel.offer(NUMBER, &Number::new(FIT + 3));
    // At the loss: the record that told of it is for the next one.
    let lost = attachment.drain(|item| match item {
        Item::Lost(lost) => ControlFlow::Break(lost.count),
        Item::Record(_) => ControlFlow::Continue(()),
    });
    assert_eq!(lost.unwrap(), ControlFlow::Break(3));
    let account = attachment.account().unwrap();
    assert!(account.balances() && account.in_ring == 1, "{account:?}");
    raw(&kernel.process(true)).0.detach_all().unwrap();
    let (numbers, why) = read_to_the_end(&mut attachment);
    assert_eq!((numbers, why), (vec![FIT + 3], Ending::DriverStopping));
    assert!(attachment.account().unwrap().balances());
}

#[test]
fn a_drain_beside_a_flood_comes_to_its_end_and_the_next_wait_is_ready() {
    let kernel = Kernel::default();
    let mut attachment = attach(&kernel.process(false)).with_pace(Pace::Prompt);
    (0..FIT).for_each(|n| kernel.offer(NUMBER, &Number::new(n)));
    let (mut offered, mut drained) = (FIT, 0);
    while drained < 50 * FIT {
        assert_eq!(attachment.wait(SOON).unwrap(), Wake::Ready);
        let drain = attachment.drain(|_| {
            // One comes for each that is handed over, for longer than a drain may last.
            if offered < 50 * FIT {
                kernel.offer(NUMBER, &Number::new(offered));
                offered += 1;
            }
        });
        let records = drain.unwrap().records;
        assert!(records < 3 * FIT, "a drain of {records}");
        drained += records;
    }
    let account = attachment.account().unwrap();
    assert!(
        account.balances() && account.delivered == offered,
        "{account:?}"
    );
}

#[test]
fn a_drain_whose_closure_fails_fails_with_its_error() {
    #[derive(Debug)]
    enum Failed {
        Mine(u64),
        Channel,
    }
    impl From<channel::Error> for Failed {
        fn from(_: channel::Error) -> Self {
            Self::Channel
        }
    }
    let kernel = Kernel::default();
    let (process, mut read) = (kernel.process(false), 0);
    let mut attachment = attach(&process);
    (0..3).for_each(|n| kernel.offer(NUMBER, &Number::new(n)));
    let mut drain = |attachment: &mut Attachment<Model>| {
        attachment.drain(|_| {
            read += 1;
            if read == 2 {
                return Err(Failed::Mine(read));
            }
            Ok(())
        })
    };
    assert!(matches!(drain(&mut attachment), Err(Failed::Mine(2))));
    assert_eq!(drain(&mut attachment).unwrap().records, 1);
    process.kill();
    assert!(matches!(drain(&mut attachment), Err(Failed::Channel)));
}

#[test]
fn the_mask_keeps_out_what_was_not_asked_for() {
    let kernel = Kernel::default();
    let mut attachment = attach(&kernel.process(false));
    kernel.offer(OTHER, &Number::new(0));
    kernel.offer(NUMBER, &Number::new(1));
    assert_eq!(drain_numbers(&mut attachment), [1]);
    assert_eq!(attachment.account().unwrap().kernel.offered, 1);
}

#[test]
fn the_mask_holds_for_what_the_app_itself_asked_for() {
    let kernel = own_driver::kernel();
    let (device, event) = raw(&kernel.process(false));
    let mut deaf = device.attach_event(event, Mask::NONE).unwrap();
    deaf.device().request(&mut Touch::new(SEND, 3)).unwrap();
    assert_eq!(
        (
            drain_numbers(&mut deaf).len(),
            deaf.account().unwrap().kernel.offered
        ),
        (0, 0)
    );
}

#[test]
fn a_drain_for_less_than_its_head_is_refused_and_one_for_the_head_takes_nothing() {
    let kernel = Kernel::default();
    let attachment = attach(&kernel.process(false));
    kernel.offer(NUMBER, &Number::new(0));
    let drain = |room| {
        attachment
            .device()
            .system()
            .request(Command::Drain as u32, &[], room)
    };
    assert_eq!(drain(size_of::<Drained>() - 1), Err(Refusal::Room));
    let head = Drained::read_from_bytes(&drain(size_of::<Drained>()).unwrap()).unwrap();
    assert_eq!((head.records, head.waiting, head.ended), (0, 1, 0));
}
