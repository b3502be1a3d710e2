//! Programs of netfilter: aya does not know their type, so that its parts are put together here.
//!
//! aya makes the maps and fills the constants; the object is read a second time, told of these maps, and each program
//! of netfilter handed to the kernel as it is. So that aya reads the object at all,
//! their section gets the name of one that it knows.

use crate::checking::Check;
use crate::offsets::Kernel;
use anyhow::{Context, Result, bail};
use aya::Ebpf;
use aya::programs::ProgramError;
use aya_obj::generated::bpf_insn;
use aya_obj::{Function, Object, Program, ProgramSection, VerifierLog};
use channel::sys::linux::bpf::{self, NetfilterProgram};
use firewall_abi::firewall::OffsetWords;
use std::collections::HashSet;
use std::ffi::CStr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

/// The section of programs of netfilter in the driver's file, and as aya is shown it:
/// a kind that the driver has none of.
const SECTION: &[u8] = b"netfilter\0";
const SHOWN_AS: &[u8] = b"sk_lookup\0";

/// A call of a function of the kernel: the instruction's first bytes,
/// then the function's number in the driver's own counting, then a mark.
const CALL: [u8; 4] = [0x85, 0x20, 0, 0];
/// Instruction that loads a word of [`Offsets`](firewall_abi::firewall::Offsets) into whichever register: the first
/// byte; then, likewise, its index and the mark.
const LOAD: u8 = 0xB7;
const MARK: [u8; 3] = [0, 0x66, 0x6B];
const INSTRUCTION: usize = 8;

/// Room for the kernel verifier's log of one program, in bytes.
const LOG: usize = 16 << 20;

/// A program that the kernel has taken.
pub struct LoadedProgram {
    /// Name of the program in the driver.
    pub name: String,
    /// The kernel's descriptor of it.
    pub program: OwnedFd,
    /// And its number.
    pub id: u32,
}

/// The object as it can be loaded into this kernel.
pub fn prepared(mut object: Vec<u8>, kernel: &Kernel) -> Vec<u8> {
    let mut at = 0;
    while let Some(found) = object.get(at..).and_then(|rest| {
        rest.windows(SECTION.len())
            .position(|bytes| bytes == SECTION)
    }) {
        at += found;
        object[at..at + SHOWN_AS.len()].copy_from_slice(SHOWN_AS);
    }
    let words: OffsetWords = zerocopy::transmute!(kernel.offsets);
    for instruction in object.as_chunks_mut::<INSTRUCTION>().0 {
        let [a, b, c, d, number, mark @ ..] = *instruction;
        let number = usize::from(number);
        let meant = match [a, b, c, d] {
            _ if mark != MARK => None,
            CALL => kernel.functions.get(number.wrapping_sub(1)),
            [LOAD, _, 0, 0] => words.get(number),
            _ => None,
        };
        if let Some(meant) = meant {
            instruction[4..].copy_from_slice(&meant.to_ne_bytes());
        }
    }
    object
}

/// The programs of netfilter of a driver, ready to be handed to the kernel.
pub struct ReadyPrograms {
    object: Object,
    type_data: OwnedFd,
}

impl ReadyPrograms {
    /// Reads a [`prepared`] object, whose maps aya has made.
    pub fn read(prepared: &[u8], maps: &Ebpf) -> Result<Self> {
        let mut object = Object::parse(prepared).context("the driver's file is no BPF object")?;
        let features = aya::features();
        let type_data = match features.btf() {
            Some(features) => object.fixup_and_sanitize_btf(features)?,
            None => None,
        };
        let type_data =
            type_data.context("the driver has no type data, or the kernel takes none")?;
        let type_data = bpf::load_type_data(&type_data.to_bytes())
            .context("the kernel did not take the driver's type data")?;
        relocate(&mut object, maps)?;
        Ok(Self { object, type_data })
    }

    /// Each of them, to be checked by the kernel.
    pub fn checks(&self) -> impl Iterator<Item = Check<'_, Option<LoadedProgram>>> {
        let programs = self.object.programs.iter();
        let ours =
            programs.filter(|(_, program)| matches!(program.section, ProgramSection::SkLookup));
        ours.map(|(name, program)| -> Check<'_, _> {
            Box::new(|| self.load(name, program).map(Some))
        })
    }

    fn load(&self, name: &str, program: &Program) -> Result<LoadedProgram> {
        let function = self
            .object
            .functions
            .get(&program.function_key())
            .with_context(|| format!("the driver's program {name} has no code"))?;
        let program = taken(name, function, &self.object.license, &self.type_data)?;
        Ok(LoadedProgram {
            name: name.to_owned(),
            id: bpf::map_info(program.as_fd())?.id,
            program,
        })
    }
}

/// Writes the maps' descriptors into the programs, and puts the functions that each calls behind it.
fn relocate(object: &mut Object, maps: &Ebpf) -> Result<()> {
    let text: HashSet<usize> = object
        .functions
        .keys()
        .map(|(section, _)| *section)
        .collect();
    let mut known = Vec::new();
    for (name, map) in std::mem::take(&mut object.maps) {
        let Some(data) = maps.map(&name).and_then(crate::driver::data) else {
            bail!("aya has made no map {name}");
        };
        known.push((name, data.fd().as_fd().as_raw_fd(), map));
    }
    object.relocate_maps(
        known
            .iter()
            .map(|(name, fd, map)| (name.as_str(), *fd, map)),
        &text,
    )?;
    object.relocate_calls(&text)?;
    Ok(())
}

fn taken(name: &str, function: &Function, license: &CStr, type_data: &OwnedFd) -> Result<OwnedFd> {
    let instructions: Vec<u8> = function.instructions.iter().flat_map(bytes_of).collect();
    let functions = function.func_info.func_info_bytes();
    let lines = function.line_info.line_info_bytes();
    let program = NetfilterProgram {
        name,
        instructions: &instructions,
        license,
        type_data: type_data.as_fd(),
        functions: (&functions, function.func_info_rec_size),
        lines: (&lines, function.line_info_rec_size),
    };
    // What the verifier says costs it time: it is asked only once it has refused.
    bpf::load_netfilter(&program, &mut []).or_else(|_| {
        let mut log = vec![0; LOG];
        bpf::load_netfilter(&program, &mut log)
            .map_err(|io_error| {
                let end = log.iter().position(|byte| *byte == 0).unwrap_or(LOG);
                let said = String::from_utf8_lossy(&log[..end]).into_owned();
                ProgramError::LoadError {
                    io_error,
                    verifier_log: VerifierLog::new(said),
                }
            })
            .with_context(|| format!("the kernel did not take the program {name}"))
    })
}

fn bytes_of(instruction: &bpf_insn) -> [u8; INSTRUCTION] {
    let [off_low, off_high] = instruction.off.to_ne_bytes();
    let [a, b, c, d] = instruction.imm.to_ne_bytes();
    let registers = instruction.dst_reg() | instruction.src_reg() << 4;
    [instruction.code, registers, off_low, off_high, a, b, c, d]
}

#[cfg(test)]
mod tests {
    use super::*;
    use firewall_abi::firewall::Offsets;

    #[test]
    fn the_kernel_s_own_functions_and_offsets_get_their_numbers_and_nothing_else_is_touched() {
        let offsets = Offsets {
            task_parent: 0x0708_090A,
            ..Offsets::default()
        };
        let kernel = Kernel {
            functions: [0x0102_0304, 0x0506_0708, 0x0304_0506],
            offsets,
        };
        let marked = |code, registers, number| [code, registers, 0, 0, number, 0, 0x66, 0x6B];
        let known = [
            (marked(0x85, 0x20, 1), 0x0102_0304_u32),
            (marked(0x85, 0x20, 2), 0x0506_0708),
            (marked(0x85, 0x20, 3), 0x0304_0506),
            (marked(0xB7, 0x07, 1), 0x0708_090A),
            (marked(0xB7, 0x02, 0), 0),
        ];
        let others = [
            marked(0x85, 0x20, 4),
            marked(0x85, 0x20, 0),
            marked(0x85, 0x10, 1),
            marked(0xB4, 0x07, 1),
            marked(0xB7, 0x07, u8::MAX),
            [0xB7, 0x07, 0, 0, 1, 0, 0, 0],
        ]
        .concat();
        let object = known.iter().flat_map(|(bytes, _)| *bytes);
        let wanted = known.iter().flat_map(|(bytes, number)| {
            let [code, registers, ..] = *bytes;
            let [a, b, c, d] = number.to_ne_bytes();
            [code, registers, 0, 0, a, b, c, d]
        });
        let object = object.chain(others.iter().copied()).collect();
        let wanted: Vec<u8> = wanted.chain(others.iter().copied()).collect();
        assert_eq!(prepared(object, &kernel), wanted);
    }

    #[test]
    fn the_section_is_shown_under_a_name_that_aya_knows() {
        let object = b"\0.relnetfilter\0netfilter\0netfilters\0".to_vec();
        let shown = prepared(object, &Kernel::default());
        assert_eq!(shown, b"\0.relsk_lookup\0sk_lookup\0netfilters\0");
    }
}
