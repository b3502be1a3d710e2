//! gatebell-figures: measures Gatebell and others beside it, in one run;
//! `cargo xtask figures` builds what it needs and starts it.
//!
//! It may depend on `channel`, `channel_abi`, `firewall_abi`, `control` and what a kernel and a desktop offer.
//!
//! Rules that hold here:
//! - What is compared is measured in turns, in the same run; a figure that was not measured has no number.
//! - Every load is bounded in count and in time. What is touched was made here: namespaces, devices, control groups.
//! - Readers count what they got; a rate that hides its losses is none.
//! - What a person sees is read from outside: the display's picture, the desktop's bus, what a command prints.
//! - Targets stand in `promises.rs`, with what was predicted before each was measured first.
#![cfg(target_os = "linux")]

mod book;
mod bpf;
mod desktop;
mod display;
mod figures;
mod gatebell;
mod ground;
mod load;
mod machine;
mod page;
mod peers;
mod plot;
mod probe;
mod process;
mod promises;
mod ruleset;
mod scatter;
mod statistics;
mod window;

use anyhow::{Context, Result, bail};
use book::Book;
use clap::{Parser, Subcommand};
use figures::Setting;
use gatebell::Programs;
use ground::Ground;
use machine::Machine;
use promises::PROMISES;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

#[derive(Parser)]
#[command(name = "gatebell-figures", about = "How fast Gatebell is")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Measures, and writes the page
    Measure(Measure),
    /// A load, in a process of its own
    #[command(hide = true)]
    Load {
        #[command(subcommand)]
        load: load::Load,
    },
}

#[derive(clap::Args)]
struct Measure {
    /// Figures to measure; all of them if none is named
    figures: Vec<String>,
    #[command(flatten)]
    programs: Programs,
    /// Path of the page to write
    #[arg(long)]
    page: PathBuf,
    /// Everything as one JSON object on standard output
    #[arg(long)]
    json: bool,
    /// Fewer and shorter rounds
    #[arg(long)]
    quick: bool,
}

fn main() -> ExitCode {
    match perform(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn perform(arguments: Arguments) -> Result<()> {
    match arguments.task {
        Task::Measure(measure) => run(&measure),
        Task::Load { load } => load::run(&load),
    }
}

fn run(measure: &Measure) -> Result<()> {
    let wanted = chosen(&measure.figures)?;
    ground::watch_for_the_end()?;
    let (machine, mut book) = (Machine::here(measure.quick), Book::default());
    for figure in wanted {
        let start = Instant::now();
        eprintln!("figures: {figure} …");
        one(figure, measure, &mut book);
        ground::go_on().context("nothing was written")?;
        eprintln!(
            "figures: {figure} took {:.0} s",
            start.elapsed().as_secs_f64()
        );
    }
    page::write(&book, &machine, &measure.page)?;
    tell(measure, &book, &machine);
    Ok(())
}

/// A ground for each figure: nothing is left of the last one. One that fails leaves the others alone.
fn one(figure: &str, measure: &Measure, book: &mut Book) {
    let measured = Ground::make().and_then(|ground| {
        let setting = Setting {
            programs: &measure.programs,
            ground: &ground,
            quick: measure.quick,
        };
        figures::measure(figure, &setting, book)
    });
    if let Err(why) = measured {
        eprintln!("figures: {figure}: {why:#}");
        book.cannot_all(figure, &format!("{why:#}"));
    }
    book.cannot_all(figure, "not asked for");
}

fn chosen(figures: &[String]) -> Result<Vec<&'static str>> {
    let all = promises::figures();
    if let Some(odd) = figures.iter().find(|name| !all.contains(&name.as_str())) {
        bail!("there is no figure {odd}; there are: {}", all.join(", "));
    }
    Ok(all
        .into_iter()
        .filter(|name| figures.is_empty() || figures.iter().any(|wanted| wanted == name))
        .collect())
}

fn tell(measure: &Measure, book: &Book, machine: &Machine) {
    if measure.json {
        println!("{}", page::json(book, machine));
        return;
    }
    for promise in PROMISES {
        println!("{}", page::line(book, promise));
    }
    println!("\nwritten to {}", shown(&measure.page));
}

fn shown(page: &Path) -> String {
    page.display().to_string()
}
