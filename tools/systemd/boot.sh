#!/bin/bash
# boot.sh DIRECTORY GROUP boots systemd in a container: /usr as this machine has it, with
# room for changes, and nothing else of it. DIRECTORY is empty, GROUP a control group to make.
# Prints the number of its first process. When the input ends everything goes: processes,
# mounts, namespaces, the control group.
set -euo pipefail
self=$(realpath "$0") directory=$1 group=$2 stage=${3:-}
tree=$directory/tree groups=$directory/groups

# Its own units only: systemd of this machine may start what it likes, here nothing else runs.
units=(sysinit.target basic.target multi-user.target shutdown.target umount.target final.target
	systemd-journald.service systemd-journald.socket)

make_tree() {
	mkdir "$tree" && cd "$tree"
	mkdir -p usr home root proc sys run tmp var/log var/tmp dev/shm .usr/upper .usr/work etc/systemd/system/sysinit.target.wants
	mount -t overlay -o lowerdir=/usr,upperdir=.usr/upper,workdir=.usr/work weir usr
	ln -s usr/bin usr/sbin usr/lib .
	[ ! -d /usr/lib64 ] || ln -s usr/lib64 .
	cp /etc/passwd /etc/group /etc/nsswitch.conf /etc/ld.so.cache etc/
	printf '[Journal]\nStorage=volatile\nReadKMsg=no\nAudit=\nRateLimitBurst=0\n' >etc/systemd/journald.conf
	tr -d - </proc/sys/kernel/random/uuid >etc/machine-id
	local unit device
	for unit in "${units[@]}"; do
		cp "/usr/lib/systemd/system/$unit" etc/systemd/system/
	done
	ln -s ../systemd-journald.service etc/systemd/system/sysinit.target.wants/
	for device in null zero full random urandom tty; do
		touch "dev/$device"
		mount --bind "/dev/$device" "dev/$device"
	done
}

# The options of a mount of control groups are those of all: where there is one, as on a
# machine that systemd has booted, it is used as it is.
mount_groups() {
	local there
	there=$(findmnt --noheadings --first-only --types cgroup2 --output TARGET) || true
	if [ -n "$there" ]; then
		mount --bind "$there" "$groups"
	else
		mount -t cgroup2 weir "$groups"
	fi
}

# end leaves nothing, whatever ends this script.
end() {
	if [ -n "${keeper:-}" ]; then
		pkill -KILL -P "$keeper" || true # the first process; unshare ends when it is gone
		wait "$keeper" || true
	fi
	find "$groups/$group" -depth -type d -exec rmdir {} +
}

case $stage in
'') # in a mount namespace of its own
	exec unshare --mount "$self" "$directory" "$group" keep
	;;
keep)
	mount -t tmpfs -o mode=755 weir "$directory"
	mkdir "$groups"
	mount_groups
	mkdir "$groups/$group"
	trap end EXIT
	trap 'exit 1' INT TERM
	make_tree >&2
	unshare --pid --mount --net --uts --ipc --fork --kill-child "$self" "$directory" "$group" enter </dev/null &
	keeper=$!
	read -r _ || true
	;;
enter) # a control group's root is where a process was that made its namespace
	read -r pid _ </proc/self/stat
	echo "$pid"
	echo 0 >"$groups/$group/cgroup.procs"
	exec unshare --cgroup "$self" "$directory" "$group" boot
	;;
boot)
	exec >&2
	cd "$tree"
	mount --rbind . . # pivot_root wants a mount
	cd "$tree"
	mount -t proc proc proc
	mount --bind proc/sys proc/sys
	mount -o remount,bind,ro proc/sys # most of it is the machine's
	mount -t sysfs -o ro sysfs sys # so that systemd waits for no device that udev would tell of
	mount -t cgroup2 cgroup2 sys/fs/cgroup
	mount -t bpf -o mode=700 bpf sys/fs/bpf
	mount -t tmpfs -o mode=755 tmpfs run
	hostname weir-unit
	pivot_root . .
	umount -l .
	exec env -i container=weir PATH=/usr/bin:/usr/sbin SYSTEMD_UNIT_PATH=/etc/systemd/system /lib/systemd/systemd --unit=multi-user.target --log-target=journal
	;;
esac
