//! The kernel's modules that a machine loads: the devices, protocols, packet schedulers and nftables of the lab and the
//! tests, and what containers and libvirt's bridges take.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// Names of the modules to load; those that they need come along. One that a kernel doesn't have, it has built in.
const WANTED: [&str; 67] = [
    "virtio_pci",
    "virtio_blk",
    "veth",
    "bridge",
    "dummy",
    "tun",
    "sch_ingress",
    "sch_netem",
    "sch_prio",
    "sch_htb",
    "cls_bpf",
    "cls_matchall",
    "cls_flower",
    "cls_u32",
    "act_bpf",
    "act_csum",
    "act_gact",
    "act_mirred",
    "nf_tables",
    "nft_ct",
    "nft_limit",
    "nft_log",
    "nft_quota",
    "nft_numgen",
    "nft_hash",
    "nft_socket",
    "nft_queue",
    "nft_reject",
    "nft_reject_inet",
    "nft_reject_ipv4",
    "nft_reject_ipv6",
    "nft_fib_inet",
    "nft_objref",
    "nft_chain_nat",
    "nft_nat",
    "nft_masq",
    "nfnetlink_log",
    "nfnetlink_queue",
    "nf_conntrack_netlink",
    "nf_log_syslog",
    "tcp_diag",
    "8021q",
    "bonding",
    "br_netfilter",
    "ipvlan",
    "macvlan",
    "team",
    "team_mode_activebackup",
    "ipip",
    "sit",
    "ip_gre",
    "ip6_tunnel",
    "ip6_gre",
    "vxlan",
    "geneve",
    "wireguard",
    "esp4",
    "esp6",
    "xfrm_user",
    "authenc",
    "crypto_null",
    "sctp",
    "dccp",
    "dccp_ipv4",
    "dccp_ipv6",
    "vrf",
    "overlay",
];

/// A module and its file's content.
pub struct Module {
    /// Name that the kernel has for the module.
    pub name: String,
    /// Content of the module's file, for `insmod`.
    pub content: Vec<u8>,
}

/// The wanted modules and what they need, each after all that it needs.
pub fn in_order(folder: &Path) -> Result<Vec<Module>> {
    let mut files = BTreeMap::new();
    find(folder, &mut files)?;
    let mut order = Order {
        files: &files,
        seen: BTreeSet::new(),
        modules: Vec::new(),
    };
    for name in WANTED {
        order.add(name)?;
    }
    Ok(order.modules)
}

struct Order<'a> {
    files: &'a BTreeMap<String, PathBuf>,
    seen: BTreeSet<String>,
    modules: Vec<Module>,
}

impl Order<'_> {
    fn add(&mut self, name: &str) -> Result<()> {
        let Some(file) = self.files.get(name) else {
            return Ok(());
        };
        if !self.seen.insert(name.to_owned()) {
            return Ok(());
        }
        let content = fs::read(file).with_context(|| format!("reading {}", file.display()))?;
        for needed in needs(&content) {
            self.add(&needed)?;
        }
        self.modules.push(Module {
            name: name.to_owned(),
            content,
        });
        Ok(())
    }
}

fn find(folder: &Path, files: &mut BTreeMap<String, PathBuf>) -> Result<()> {
    for entry in folder
        .read_dir()
        .with_context(|| format!("reading {}", folder.display()))?
    {
        let path = entry?.path();
        if path.is_dir() {
            find(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "ko") {
            let stem = path.file_stem().unwrap_or_default().to_string_lossy();
            files.insert(stem.replace('-', "_"), path);
        }
    }
    Ok(())
}

/// The names behind `depends=` in a module's own description.
fn needs(module: &[u8]) -> Vec<String> {
    const KEY: &[u8] = b"\0depends=";
    let Some(at) = module.windows(KEY.len()).position(|part| part == KEY) else {
        return Vec::new();
    };
    let list = &module[at + KEY.len()..];
    let end = list
        .iter()
        .position(|byte| *byte == 0)
        .unwrap_or(list.len());
    let list = String::from_utf8_lossy(&list[..end]).replace('-', "_");
    list.split(',')
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_names_what_it_needs() {
        assert_eq!(
            needs(b"x\0license=GPL\0depends=nf_tables,nf-conntrack\0intree=Y\0"),
            ["nf_tables", "nf_conntrack"]
        );
        assert!(needs(b"x\0depends=\0").is_empty());
        assert!(needs(b"nothing").is_empty());
    }
}
