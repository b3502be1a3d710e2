//! The sample's driver on the model of a kernel, as far as a model without timers and threads of its own has it.

use channel::driver::table::{Buffer, Signal};
use channel::sys::model::{Kernel, Request};
use channel::{DriverCommand, DriverRequest, Header, Refusal};
use sample_abi::{MAX_COUNT, Notice, Operate, Operation, Seen, kind};
use std::time::Duration;

/// Makes a kernel of the model that has the driver loaded.
pub fn kernel() -> Kernel {
    Kernel::with_commands(control)
}

fn control(
    request: &Request<'_>,
    command: DriverCommand,
    buffer: &mut Buffer<'_>,
) -> Result<usize, Refusal> {
    if command != Operate::COMMAND {
        return Err(Refusal::Command);
    }
    let mut operate: Operate = buffer.request()?;
    // What the driver fills in is the driver's alone.
    operate.seen = Seen::default();
    let event = request.event()?;
    operate.seen.before = event.is_set().into();
    match Operation::try_from(operate.operation)? {
        Operation::Set => event.signal(),
        Operation::Clear => event.clear(),
        Operation::Pulse => {
            event.signal();
            event.clear();
        }
        Operation::Query => {}
        Operation::Notify => notify(request, &mut operate)?,
        Operation::Wait => {
            let most = Duration::from_micros(operate.interval_us.into());
            if !event.wait(Some(most)) {
                return Err(Refusal::TimedOut);
            }
        }
        Operation::NotifyFromTimer | Operation::AppSet | Operation::PulseNamed => {
            return Err(Refusal::Unsupported);
        }
    }
    operate.seen.after = event.is_set().into();
    operate.seen.waiting = request.waiting()? as u32;
    buffer.answer(&operate)
}

fn notify(request: &Request<'_>, operate: &mut Operate) -> Result<(), Refusal> {
    if operate.count > MAX_COUNT {
        return Err(Refusal::Range);
    }
    for number in 0..operate.count.into() {
        let notice = Notice {
            header: Header::default(),
            number,
            from_timer: 0,
        };
        request.offer(kind::NOTICE, &notice)?;
        operate.seen.offered += 1;
    }
    Ok(())
}
