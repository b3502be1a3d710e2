//! Scripts that run inside: an init that prepares the machine, and the command with its resolver.

use super::Machine;

/// Line on the console right before the command is started.
pub const STARTED: &str = "gatebell: the command starts";

/// The machine's first process. The serial lines are: ttyS0 the console, ttyS1 the command's input and output, ttyS2
/// its errors, ttyS3 its exit code.
pub fn script(machine: &Machine) -> String {
    // Ends the machine even if whoever watches it from outside was killed.
    let longest = machine.timeout.as_secs() + 30;
    format!(
        r#"#!/busybox/busybox sh
export PATH=/usr/sbin:/usr/bin:/busybox HOME=/root TERM=linux
/busybox/busybox --install -s /busybox
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
mount -t tmpfs tmpfs /dev/shm
chmod 1777 /tmp
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t bpf bpf /sys/fs/bpf
mount -t tracefs tracefs /sys/kernel/tracing
# Not busybox: its shell runs its own small ip and nc in place of the real ones.
ln -sf bash /usr/bin/sh
ln -sf /proc/self/fd /dev/fd
ln -sf /proc/self/fd/0 /dev/stdin
ln -sf /proc/self/fd/1 /dev/stdout
ln -sf /proc/self/fd/2 /dev/stderr
# Devices that modules make by themselves are in nobody's way, least of all in each new namespace.
echo 1 >/proc/sys/net/core/fb_tunnels_only_for_init_net
for module in $(cat /modules/order); do
    case $module in
        dummy) options=numdummies=0 ;;
        bonding) options=max_bonds=0 ;;
        *) options= ;;
    esac
    insmod /modules/$module.ko $options || echo "gatebell: module $module did not load" >/dev/ttyS0
done
rm -rf /modules
hostname gatebell-vm
ip link set lo up
(sleep {longest}; echo o >/proc/sysrq-trigger) </dev/null >/dev/null 2>&1 &
stty -F /dev/ttyS1 115200 -opost -echo -ixon
stty -F /dev/ttyS2 115200 -opost -echo
echo "{STARTED}" >/dev/ttyS0
# A session with ttyS1 as its terminal: the character 3 that arrives there becomes SIGINT for the command.
setsid -c /usr/bin/bash /command </dev/ttyS1 >/dev/ttyS1 2>/dev/ttyS2
code=$?
# Closing a serial line does not wait for what is still to be sent.
stty -F /dev/ttyS1 sane
stty -F /dev/ttyS2 sane
echo $code >/dev/ttyS3
sleep 0.1
echo o >/proc/sysrq-trigger
sleep 60
"#
    )
}

/// The command with its environment and its folder, as a script.
///
/// Inside, its output is always a serial line, which is a terminal. Where ours is none (`to_terminal` is false), the
/// command shall find none either, and write neither colours nor a status line over itself.
pub fn command(machine: &Machine, to_terminal: bool) -> String {
    let mut script = String::from("#!/usr/bin/bash\n");
    for (name, value) in &machine.environment {
        script.push_str(&format!("export {name}={}\n", quoted(value)));
    }
    let folder = quoted(&machine.directory.to_string_lossy());
    script.push_str(&format!(
        "mkdir -p {folder}\ncd {folder}\nulimit -l unlimited\nulimit -c 0\n"
    ));
    let words: Vec<String> = machine.command.iter().map(|word| quoted(word)).collect();
    let words = words.join(" ");
    if to_terminal {
        script.push_str(&format!("exec {words}\n"));
    } else {
        // Ctrl-C is for the command: what carries its last words must outlive it.
        script.push_str(&format!(
            "{words} | (trap '' INT; exec cat)\nexit ${{PIPESTATUS[0]}}\n"
        ));
    }
    script
}

/// Quotes any text as one word for a shell.
pub fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_stays_one_word() {
        assert_eq!(quoted("it's; $HOME"), r"'it'\''s; $HOME'");
    }

    #[test]
    fn the_command_keeps_its_arguments_apart() {
        let mut machine = Machine::new(vec!["echo".into(), "a b".into()]);
        machine.environment.push(("NAME".into(), "x y".into()));
        let script = command(&machine, true);
        assert!(script.contains("export NAME='x y'\n"), "{script}");
        assert!(script.ends_with("exec 'echo' 'a b'\n"), "{script}");
        let script = command(&machine, false);
        assert!(
            script.contains("\n'echo' 'a b' | (") && script.ends_with("exit ${PIPESTATUS[0]}\n"),
            "{script}"
        );
    }
}
