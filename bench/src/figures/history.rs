//! Cost of keeping the history, and latency of a query over a large one.

use super::{Part, Setting, by_parts};
use crate::book::Book;
use crate::gatebell::Gatebell;
use crate::ground::{go_on, until};
use crate::load::Done;
use crate::process::processor_ms;
use anyhow::{Result, bail};
use control::Client;
use lab::OUTSIDE;
use rusqlite::{Connection, params};
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const FIGURE: &str = "history";
/// Others outside, each with an address of its own.
const OTHERS: &str = "10.88.0.0/16";
/// Conversations a second.
const RATE: u64 = 1000;
/// Time that the service has to report and keep what was written.
const AFTER: Duration = Duration::from_secs(2);
/// Rows of a history.
const MANY: u64 = 10_000_000;
/// Programs that they are of, in turn.
const PROGRAMS: u64 = 200;
/// Program that the query asks for.
const PROGRAM: &str = "/usr/bin/program-7";
const DAY: i64 = 86_400;

const RULES: &str = "version = 1\n[default]\ninbound = \"allow\"\noutbound = \"allow\"\n";

/// Parts that are measured each by itself, with the promises of each.
const PARTS: [Part; 2] = [(kept, &["history_busy"]), (shown, &["history_query"])];

/// Measures the history.
pub fn measure(setting: &Setting<'_>, book: &mut Book) -> Result<()> {
    by_parts(FIGURE, &PARTS, setting, book)?;
    book.note(
        FIGURE,
        "A new conversation is a TCP connection of a program of the zone to another address, closed at once; what the service takes for it with a \
         history, less the same without one, in turns. The 10,000,000 rows are as 90 days leave them, as many begun each day: minutes of \
         the last day, hours of two weeks, days before; of 200 programs, in a file that the kernel has in memory. What is shown is `gatebell history \
         --program P`, from its start to its end.",
    );
    Ok(())
}

/// Measures the service's processor time while many connections begin, with a history and without.
fn kept(setting: &Setting<'_>, book: &mut Book) -> Result<()> {
    let ground = setting.ground;
    ground.done(true, &["ip", "route", "add", OTHERS, "via", OUTSIDE])?;
    ground.done(false, &["ip", "route", "add", "local", OTHERS, "dev", "lo"])?;
    let _server = ground.serve(false, &["accept", "0.0.0.0:81", "900"])?;
    let (mut more, mut with, mut without) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..setting.choose(4, 2) {
        let keeping = conversed(setting, true)?;
        let not = conversed(setting, false)?;
        more.push(keeping - not);
        with.push(keeping);
        without.push(not);
    }
    book.put("history_busy", &more);
    book.beside(FIGURE, "of a processor the service with it", &with, "%");
    book.beside(
        FIGURE,
        "of a processor the service without it",
        &without,
        "%",
    );
    Ok(())
}

/// Returns the share of a processor that the service takes while connections begin.
fn conversed(setting: &Setting<'_>, keeps: bool) -> Result<f64> {
    let folder = setting.ground.lab.folder().join("kept");
    fs::create_dir_all(&folder)?;
    let history = keeps.then_some(folder.as_path());
    let gatebell = Gatebell::keeping(setting.programs, setting.ground, RULES, history)?;
    std::thread::sleep(Duration::from_secs(2));
    let before = processor_ms(gatebell.pid())?;
    let count = RATE * setting.choose(15, 8);
    let words = ["connect", "10.88.0.1", "81"].map(str::to_owned);
    let words = [&words[..], &[RATE.to_string(), count.to_string()]].concat();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let done: Done = setting.ground.load(true, &words)?;
    let done = done.reaching(RATE)?;
    std::thread::sleep(AFTER);
    let took = processor_ms(gatebell.pid())? - before;
    if keeps {
        has_kept(&gatebell, done.count)?;
    }
    drop(gatebell);
    fs::remove_dir_all(&folder)?;
    // Milliseconds of so many seconds, as a share in percent.
    Ok(took / done.seconds / 10.0)
}

/// A history that keeps nothing takes nothing.
fn has_kept(gatebell: &Gatebell, count: u64) -> Result<()> {
    let status = Client::connect(gatebell.control())?.status()?;
    let kept = status.history.map_or(0, |history| history.kept);
    if kept < count / 10 * 9 {
        bail!("of {count} conversations {kept} were kept");
    }
    Ok(())
}

/// Measures the latency of a query for one program, out of many rows.
fn shown(setting: &Setting<'_>, book: &mut Book) -> Result<()> {
    let folder = setting.ground.lab.folder().join("many");
    fs::create_dir_all(&folder)?;
    // The service makes the file, as its release has it.
    let begun = Gatebell::keeping(setting.programs, setting.ground, RULES, Some(&folder))?;
    let file = folder.join("history.db");
    if !until(Duration::from_secs(20), || file.is_file()) {
        bail!("the service makes no history");
    }
    drop(begun);
    let start = Instant::now();
    fill(&file)?;
    book.beside(
        FIGURE,
        "bytes of a row, its share of the indices among them",
        &[fs::metadata(&file)?.len() as f64 / MANY as f64],
        "bytes",
    );
    eprintln!(
        "figures: {FIGURE}: {MANY} rows in {:.0} s",
        start.elapsed().as_secs_f64()
    );
    let gatebell = Gatebell::keeping(setting.programs, setting.ground, RULES, Some(&folder))?;
    comes_to_rest(&gatebell)?;
    let asked = [
        ("1d", Some("history_query"), "the last day"),
        ("1h", None, "the last hour"),
    ];
    for (since, id, words) in asked {
        let mut times = Vec::new();
        for _ in 0..setting.choose(8, 3) {
            times.push(queried(setting, &gatebell, since)?);
        }
        match id {
            Some(id) => book.put(id, &times),
            None => {
                book.beside(
                    FIGURE,
                    format!("what a program did in {words}"),
                    &times,
                    "ms",
                );
            }
        }
    }
    Ok(())
}

/// Waits until the service has looked through its file.
fn comes_to_rest(gatebell: &Gatebell) -> Result<()> {
    let mut last = processor_ms(gatebell.pid())?;
    for _ in 0..240 {
        go_on()?;
        std::thread::sleep(Duration::from_millis(500));
        let now = processor_ms(gatebell.pid())?;
        if now - last < 20.0 {
            return Ok(());
        }
        last = now;
    }
    bail!("the service does not come to rest")
}

/// The milliseconds that it takes until a person has it all.
fn queried(setting: &Setting<'_>, gatebell: &Gatebell, since: &str) -> Result<f64> {
    let mut command = Command::new(&setting.programs.cli);
    command
        .args(["history", "--since", since, "--program", PROGRAM, "--json"])
        .arg("--socket")
        .arg(gatebell.control());
    let start = Instant::now();
    let done = command.stdin(Stdio::null()).output()?;
    let took = start.elapsed();
    let lines = String::from_utf8_lossy(&done.stdout).lines().count();
    if !done.status.success() || lines == 0 {
        let why = String::from_utf8_lossy(&done.stderr);
        bail!("gatebell history showed {lines} rows: {}", why.trim());
    }
    Ok(took.as_secs_f64() * 1e3)
}

/// Rows of which some stand for so many days, from one moment on: `n % of` says which.
struct Kept {
    /// Begin and end of their insertion, in days before now.
    inserted: [i64; 2],
    /// The spans that were inserted then: what is older becomes longer.
    spans: &'static [(i64, i64)],
}

/// A span in seconds, and how many days after its rows' time it is inserted.
const DAYS: (i64, i64) = (DAY, 14);
const HOURS: (i64, i64) = (3600, 1);
const MINUTES: (i64, i64) = (60, 0);

/// Rows that 90 days leave, in the order of their insertion, which decides their place in the file.
const LEFT: [Kept; 3] = [
    Kept {
        inserted: [76, 13],
        spans: &[DAYS],
    },
    Kept {
        inserted: [13, 1],
        spans: &[DAYS, HOURS],
    },
    Kept {
        inserted: [1, 0],
        spans: &[DAYS, HOURS, MINUTES],
    },
];

/// Fills the file; its indices are made at the end, which is quicker.
fn fill(file: &Path) -> Result<()> {
    let mut connection = Connection::open(file)?;
    connection.pragma_update(None, "synchronous", "OFF")?;
    connection.pragma_update(None, "cache_size", -200_000)?;
    let indices: Vec<(String, String)> = connection
        .prepare("SELECT name, sql FROM sqlite_schema WHERE type = 'index' AND tbl_name = 'seen' AND sql NOT NULL")?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<_, _>>()?;
    for (name, _) in &indices {
        connection.execute_batch(&format!("DROP INDEX {name}"))?;
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs() as i64;
    let a_day = (MANY / 90) as i64;
    for Kept { inserted, spans } in LEFT {
        let [from, to] = inserted;
        for day in (to..from).rev() {
            go_on()?;
            let transaction = connection.transaction()?;
            // Half a minute before now: none is of a minute that is in hand.
            insert(&transaction, now - 30 - (day + 1) * DAY, a_day, spans)?;
            transaction.commit()?;
        }
    }
    for (_, index) in &indices {
        go_on()?;
        connection.execute_batch(index)?;
    }
    connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)")?;
    Ok(())
}

/// Inserts the rows of a day: for each of its moments a row of each span.
fn insert(connection: &Connection, begin: i64, count: i64, spans: &[(i64, i64)]) -> Result<()> {
    let mut insert = connection.prepare(
        "INSERT INTO seen (span, start, others, direction, verdict, reason, protocol, remote, port, program, process, user, rule, name, \
         count, first, last, packets_sent, bytes_sent, packets_received, bytes_received) \
         VALUES (?1, ?2, 0, 2, 1, 1, 6, ?3, 443, ?4, ?5, 1000, 'web', ?6, 1, ?7, ?7, 10, 1200, 12, 9000)",
    )?;
    for n in 0..count {
        for (span, days) in spans {
            let last = begin + n * DAY / count - days * DAY;
            let which = n.unsigned_abs() % PROGRAMS;
            insert.execute(params![
                span,
                last / span * span,
                (0x0a58_0000_u32 + (n as u32 & 0xffff)).to_be_bytes(),
                format!("/usr/bin/program-{which}"),
                format!("program-{which}"),
                format!("host-{}.example.org", n % 1000),
                last
            ])?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rows_of_a_history_are_as_many_as_is_said_and_none_is_older_or_later_than_it_can_be() {
        let days: i64 = LEFT
            .iter()
            .map(|kept| (kept.inserted[0] - kept.inserted[1]) * kept.spans.len() as i64)
            .sum();
        assert_eq!(days, 90);
        for Kept { inserted, spans } in LEFT {
            for (span, after) in spans {
                let (oldest, newest) = (inserted[0] + after, inserted[1] + after);
                let kept = match *span {
                    60 => 0..=1,
                    3600 => 1..=14,
                    _ => 14..=90,
                };
                assert!(kept.contains(&oldest) && kept.contains(&newest), "{span}");
            }
        }
    }
}
