//! Scripts that run in a machine with a Debian on its disk: an init that mounts the disk and hands over to systemd, and
//! the command as a service there.

use super::Machine;
use super::init::STARTED;

/// Folder of the archive for what is copied onto the disk.
pub const BROUGHT: &str = "brought";

/// The machine's first process. The serial lines are those of a bare machine. Debian empties /tmp as it starts, or
/// mounts an empty one there; here it must not: the checkout that was brought may lie there.
pub fn script(machine: &Machine) -> String {
    // Ends the machine even if whoever watches it from outside was killed.
    let longest = machine.timeout.as_secs() + 30;
    format!(
        r#"#!/busybox/busybox sh
export PATH=/busybox
/busybox/busybox --install -s /busybox
mkdir -p /disk
mount -t proc proc /proc
mount -t devtmpfs devtmpfs /dev
mount -t tmpfs -o mode=755 tmpfs /run
for module in $(cat /modules/order); do
    [ $module = dummy ] && options=numdummies=0 || options=
    insmod /modules/$module.ko $options || echo "gatebell: module $module did not load" >/dev/ttyS0
done
mount -t ext4 /dev/vda /disk
cp -a /{BROUGHT}/. /disk/ 2>/dev/null
mkdir -p /run/gatebell-vm /run/systemd/system/multi-user.target.wants /run/tmpfiles.d
echo 'd /tmp 1777 root root -' >/run/tmpfiles.d/tmp.conf
ln -s /dev/null /run/systemd/system/tmp.mount
cp /command /run/gatebell-vm/command
cat >/run/gatebell-vm/session <<'END'
{SESSION}END
cat >/run/systemd/system/gatebell-vm.service <<'END'
{UNIT}END
ln -s ../gatebell-vm.service /run/systemd/system/multi-user.target.wants/
sed 's/STARTED/{STARTED}/; s/LONGEST/{longest}/' -i /run/gatebell-vm/session
(sleep {longest}; echo o >/proc/sysrq-trigger) </dev/null >/dev/null 2>&1 &
mount --move /run /disk/run
mount --move /dev /disk/dev
umount /proc
exec switch_root /disk /lib/systemd/systemd
"#
    )
}

/// Ordered as what sets up a network is, which waits for a firewall. Idle: after all else that starts with the system.
const UNIT: &str = "[Unit]
Description=What this machine was booted for
Wants=network-pre.target
After=network-pre.target
[Service]
Type=idle
ExecStart=/bin/bash /run/gatebell-vm/session
StandardInput=null
TimeoutStopSec=5
KillMode=mixed
";

/// Session of the command, as in a bare machine: with ttyS1 as its terminal, so that the character 3 becomes SIGINT for
/// the command.
const SESSION: &str = r#"export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root TERM=linux
stty -F /dev/ttyS1 115200 -opost -echo -ixon
stty -F /dev/ttyS2 115200 -opost -echo
echo "STARTED" >/dev/ttyS0
setsid -c /bin/bash /run/gatebell-vm/command </dev/ttyS1 >/dev/ttyS1 2>/dev/ttyS2
code=$?
stty -F /dev/ttyS1 sane
stty -F /dev/ttyS2 sane
echo $code >/dev/ttyS3
sleep 0.1
[ $code != 194 ] || exec systemctl --no-block reboot
sync
echo o >/proc/sysrq-trigger
sleep 60
"#;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_that_asks_for_a_reboot_is_the_one_that_the_session_knows() {
        assert!(SESSION.contains(&format!("[ $code != {} ]", super::super::REBOOT)));
    }
}
